//! Checks of every answer to a lookup, while the run goes on.
//!
//! Each story has exactly one row, with its own id and title, and its count never goes down: what a client has read is a
//! state that the shard returns to when it restarts.

use operators::Rows;

use crate::vote::workload::{read_shown, story_of};

/// The greatest count seen of each story.
#[derive(Debug)]
pub struct Reads {
    seen: Vec<u32>,
}

impl Reads {
    /// Nothing was seen yet.
    pub fn new(stories: u32) -> Reads {
        Reads { seen: vec![0; stories as usize] }
    }

    /// Checks an answer; returns how many keys have a wrong one.
    pub fn check(&mut self, keys: &Rows, counts: &[u32], rows: &Rows) -> u64 {
        if counts.len() != keys.count as usize {
            return u64::from(keys.count);
        }
        let mut wrong = 0;
        let mut found = rows.iter();
        for (key, &count) in keys.iter().zip(counts) {
            let story = story_of(key);
            let mut right = count == 1;
            for row in found.by_ref().take(count as usize) {
                let shown = read_shown(story, row);
                let seen = &mut self.seen[story as usize];
                right &= shown.right && shown.votes >= u64::from(*seen);
                *seen = (*seen).max(shown.votes as u32);
            }
            wrong += u64::from(!right);
        }
        wrong + found.count() as u64
    }

    /// The machine was restarted: until it has computed again what was not yet on disk, counts may be lower.
    pub fn forget(&mut self) {
        self.seen.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use operators::{Datum, RowBuilder};

    use super::*;
    use crate::vote::workload::{RowWriter, Title};

    fn rows(shown: &[(u32, u32, i64)]) -> Rows {
        let (mut builder, mut rows) = (RowBuilder::new(), Rows::new());
        for &(id, title, votes) in shown {
            let title = Title::of(title);
            let values = [Datum::Int(i64::from(id)), Datum::Text(title.as_str()), Datum::Int(votes)];
            rows.push_values(&mut builder, &values);
        }
        rows
    }

    fn check(reads: &mut Reads, stories: &[u32], counts: &[u32], shown: &[(u32, u32, i64)], wrong: u64) {
        let (mut writer, mut keys) = (RowWriter::new(1), Rows::new());
        stories.iter().for_each(|&story| writer.push_key(story, &mut keys));
        assert_eq!(reads.check(&keys, counts, &rows(shown)), wrong, "{stories:?} {counts:?} {shown:?}");
    }

    #[test]
    fn right_answers_pass() {
        let reads = &mut Reads::new(10);
        check(reads, &[3, 4, 3], &[1, 1, 1], &[(3, 3, 5), (4, 4, 0), (3, 3, 5)], 0);
        check(reads, &[3], &[1], &[(3, 3, 6)], 0);
    }

    #[test]
    fn every_kind_of_wrong_answer_is_counted() {
        let reads = &mut Reads::new(10);
        check(reads, &[1], &[0], &[], 1);
        check(reads, &[1], &[2], &[(1, 1, 0), (1, 1, 0)], 1);
        check(reads, &[1], &[1], &[(2, 2, 0)], 1);
        check(reads, &[1], &[1], &[(1, 2, 0)], 1);
        check(reads, &[1, 2], &[1], &[(1, 1, 0)], 2);
        check(reads, &[1], &[1], &[(1, 1, 0), (1, 1, 0)], 1);
        check(reads, &[1], &[1], &[(1, 1, -2)], 1);
    }

    #[test]
    fn a_count_that_goes_back_is_wrong_until_the_machine_restarts() {
        let reads = &mut Reads::new(10);
        check(reads, &[1], &[1], &[(1, 1, 5)], 0);
        check(reads, &[1], &[1], &[(1, 1, 4)], 1);
        reads.forget();
        check(reads, &[1], &[1], &[(1, 1, 4)], 0);
    }
}
