//! What the votes must add up to: the generators' own count, kept apart from the system under test.
//!
//! A vote is counted here when it is acknowledged, exactly once. One whose acknowledgement never came (its generator gave
//! up) is in doubt: it may be in the result or not, but not twice.

use std::collections::HashMap;

/// Acknowledged votes of each story.
#[derive(Debug, Clone)]
pub struct Tally {
    votes: Vec<u32>,
    doubtful: HashMap<u32, u32>,
}

/// How a count compares with the tally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Within what was acknowledged and what is in doubt.
    Right,
    /// So many acknowledged votes are not counted (or not yet).
    Missing(u64),
    /// So many more are counted than were ever sent.
    TooMany(u64),
}

impl Tally {
    /// No votes yet.
    pub fn new(stories: u32) -> Tally {
        Tally { votes: vec![0; stories as usize], doubtful: HashMap::new() }
    }

    /// A vote for `story` was acknowledged.
    pub fn acknowledged(&mut self, story: u32) {
        self.votes[story as usize] += 1;
    }

    /// A vote for `story` was sent, and nobody will know whether it arrived.
    pub fn in_doubt(&mut self, story: u32) {
        *self.doubtful.entry(story).or_insert(0) += 1;
    }

    /// Adds what another generator has counted.
    pub fn add(&mut self, other: &Tally) {
        assert_eq!(self.votes.len(), other.votes.len(), "tallies of the same stories");
        for (mine, theirs) in self.votes.iter_mut().zip(&other.votes) {
            *mine += theirs;
        }
        for (&story, &votes) in &other.doubtful {
            *self.doubtful.entry(story).or_insert(0) += votes;
        }
    }

    /// How many stories there are.
    pub fn stories(&self) -> u32 {
        self.votes.len() as u32
    }

    /// Acknowledged votes of `story`.
    pub fn votes(&self, story: u32) -> u32 {
        self.votes[story as usize]
    }

    /// All acknowledged votes.
    pub fn total(&self) -> u64 {
        self.votes.iter().map(|&votes| u64::from(votes)).sum()
    }

    /// All votes in doubt.
    pub fn doubtful_total(&self) -> u64 {
        self.doubtful.values().map(|&votes| u64::from(votes)).sum()
    }

    /// Compares the count that the system has for `story` with the tally.
    pub fn check(&self, story: u32, found: u64) -> Verdict {
        let least = u64::from(self.votes(story));
        let most = least + u64::from(self.doubtful.get(&story).copied().unwrap_or(0));
        match found {
            found if found < least => Verdict::Missing(least - found),
            found if found > most => Verdict::TooMany(found - most),
            _ => Verdict::Right,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledged_votes_count_exactly_once() {
        let mut tally = Tally::new(3);
        tally.acknowledged(1);
        tally.acknowledged(1);
        assert_eq!(tally.check(1, 2), Verdict::Right);
        assert_eq!(tally.check(1, 1), Verdict::Missing(1));
        assert_eq!(tally.check(1, 3), Verdict::TooMany(1));
        assert_eq!(tally.check(0, 0), Verdict::Right);
        assert_eq!(tally.total(), 2);
    }

    #[test]
    fn votes_in_doubt_count_once_or_not_at_all() {
        let mut tally = Tally::new(1);
        tally.acknowledged(0);
        tally.in_doubt(0);
        tally.in_doubt(0);
        for (found, verdict) in [
            (0, Verdict::Missing(1)),
            (1, Verdict::Right),
            (2, Verdict::Right),
            (3, Verdict::Right),
            (4, Verdict::TooMany(1)),
        ] {
            assert_eq!(tally.check(0, found), verdict);
        }
    }

    #[test]
    fn tallies_of_generators_add_up() {
        let mut one = Tally::new(2);
        one.acknowledged(0);
        let mut two = Tally::new(2);
        two.acknowledged(0);
        two.in_doubt(1);
        one.add(&two);
        assert_eq!((one.votes(0), one.votes(1)), (2, 0));
        assert_eq!((one.total(), one.doubtful_total()), (2, 1));
        assert_eq!(one.check(1, 1), Verdict::Right);
    }
}
