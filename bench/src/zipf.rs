//! Which story an operation is about: Zipf's law over all stories.
//!
//! Story 0 is the most popular one: story s is picked with a probability proportional to 1 / (s + 1)^skew. Ids are not
//! scattered, because shards are chosen by a hash of the id anyway, and neighbours share cache lines in the generator's own
//! tables. (The stories are *written* in random order, so that nothing of the kind helps the shards.)
//!
//! Walker's alias tables make one pick one or two random numbers and one look, whatever the skew. There are two tables, since
//! the generator shares the caches with the shards: the few thousand stories that make up most picks have a small one, whose
//! last entry stands for all others, which have a large one.

use fastrand::Rng;

/// Stories in the small table: 64 KiB.
const HOT_STORIES: usize = 8_191;

/// Picks story ids from 0 to `stories` - 1. One serves many threads; each brings its own random numbers.
#[derive(Debug)]
pub struct Zipf {
    /// The most popular stories and, if there are more, one entry for the rest.
    hot: Vec<Entry>,
    /// The others.
    cold: Vec<Entry>,
}

/// An entry keeps `keep` / 2^32 of the picks that fall on it and gives the others to `alias`.
#[derive(Debug, Clone, Copy)]
struct Entry {
    keep: u32,
    alias: u32,
}

impl Zipf {
    /// The law for so many stories.
    pub fn new(stories: u32, skew: f64) -> Zipf {
        assert!(stories > 0, "there must be something to pick");
        assert!(skew >= 0.0 && skew.is_finite(), "a skew below 0 is not meant");
        let weights: Vec<f64> = (1..=stories).map(|rank| f64::from(rank).powf(-skew)).collect();
        let (hot, cold) = weights.split_at(weights.len().min(HOT_STORIES));
        let mut hot = hot.to_vec();
        if !cold.is_empty() {
            hot.push(cold.iter().sum());
        }
        Zipf { hot: alias_table(hot), cold: alias_table(cold.to_vec()) }
    }

    /// Picks a story id.
    #[inline]
    pub fn pick(&self, rng: &mut Rng) -> u32 {
        let hot = look(&self.hot, rng.u64(..));
        if hot < HOT_STORIES as u32 {
            return hot;
        }
        HOT_STORIES as u32 + look(&self.cold, rng.u64(..))
    }
}

#[inline]
fn look(table: &[Entry], random: u64) -> u32 {
    // The upper half chooses the entry (multiplication instead of a division), the lower half whether it keeps.
    let index = ((random >> 32) * table.len() as u64) >> 32;
    let entry = table[index as usize];
    if (random as u32) <= entry.keep { index as u32 } else { entry.alias }
}

/// Vose's way to fill an alias table in linear time.
fn alias_table(mut weights: Vec<f64>) -> Vec<Entry> {
    // Scaled so that the mean is 1: an entry above it has something to give to those below.
    let scale = weights.len() as f64 / weights.iter().sum::<f64>();
    weights.iter_mut().for_each(|weight| *weight *= scale);
    let mut table: Vec<Entry> =
        (0..weights.len() as u32).map(|id| Entry { keep: u32::MAX, alias: id }).collect();
    let (mut small, mut large): (Vec<u32>, Vec<u32>) =
        (0..weights.len() as u32).partition(|&id| weights[id as usize] < 1.0);
    while let (Some(&poor), Some(&rich)) = (small.last(), large.last()) {
        small.pop();
        let given = 1.0 - weights[poor as usize];
        table[poor as usize] =
            Entry { keep: (weights[poor as usize] * f64::from(u32::MAX)) as u32, alias: rich };
        weights[rich as usize] -= given;
        if weights[rich as usize] < 1.0 {
            large.pop();
            small.push(rich);
        }
    }
    // What is left over has weight 1 but for rounding, and keeps all of its picks as the table was filled.
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(stories: u32, skew: f64, picks: u32, seed: u64) -> Vec<u32> {
        let zipf = Zipf::new(stories, skew);
        let mut rng = Rng::with_seed(seed);
        let mut counts = vec![0; stories as usize];
        for _ in 0..picks {
            counts[zipf.pick(&mut rng) as usize] += 1;
        }
        counts
    }

    #[test]
    fn frequencies_follow_the_law() {
        let picks = 2_000_000;
        // With one table, at its edge, and with two.
        for stories in [1_000, HOT_STORIES as u32, HOT_STORIES as u32 + 1, 100_000] {
            for skew in [0.0, 0.5, 1.0, 1.08, 2.0] {
                let counts = histogram(stories, skew, picks, 1);
                let norm: f64 = (1..=stories).map(|rank| f64::from(rank).powf(-skew)).sum();
                for top in [100, 1_000, stories as usize - 1] {
                    let expected: f64 = (1..=top).map(|rank| (rank as f64).powf(-skew)).sum::<f64>() / norm;
                    let found = f64::from(counts[..top].iter().sum::<u32>()) / f64::from(picks);
                    // Four standard deviations.
                    let tolerance = 4.0 * (expected * (1.0 - expected) / f64::from(picks)).sqrt();
                    let case = format!("{stories} stories, skew {skew}, top {top}: {found} {expected}");
                    assert!((found - expected).abs() <= tolerance, "{case}");
                }
            }
        }
    }

    #[test]
    fn the_same_seed_picks_the_same() {
        assert_eq!(histogram(500, 1.08, 10_000, 5), histogram(500, 1.08, 10_000, 5));
        assert_ne!(histogram(500, 1.08, 10_000, 5), histogram(500, 1.08, 10_000, 6));
    }

    #[test]
    fn the_last_story_of_many_is_picked_too() {
        let stories = HOT_STORIES as u32 + 5;
        assert!(histogram(stories, 0.0, 1_000_000, 1).iter().all(|&count| count > 0));
    }

    #[test]
    fn one_story_is_always_picked() {
        assert_eq!(histogram(1, 1.08, 100, 1), vec![100]);
    }
}
