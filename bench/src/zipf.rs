//! Which story an operation is about: Zipf's law over all stories, in a scattered order.
//!
//! The story of rank r is picked with a probability proportional to 1 / r^skew. Ranks are dealt to story ids by a
//! random permutation, so that the popular ones are spread over all shards. Walker's alias table makes one pick one
//! random number and one look into the table (8 bytes a story), whatever the skew.

use fastrand::Rng;

/// Picks story ids from 0 to `stories` - 1. One table serves many threads; each brings its own generator.
#[derive(Debug)]
pub struct Zipf {
    table: Vec<Entry>,
}

/// An id keeps `keep` / 2^32 of the picks that fall on it and gives the others to `alias`.
#[derive(Debug, Clone, Copy)]
struct Entry {
    keep: u32,
    alias: u32,
}

impl Zipf {
    /// Builds the table; the same arguments give the same table.
    pub fn new(stories: u32, skew: f64, seed: u64) -> Zipf {
        assert!(stories > 0, "there must be something to pick");
        assert!(skew >= 0.0 && skew.is_finite(), "a skew below 0 is not meant");
        let mut ids: Vec<u32> = (0..stories).collect();
        Rng::with_seed(seed).shuffle(&mut ids);
        let mut weights = vec![0.0_f64; ids.len()];
        let mut sum = 0.0;
        for (rank, &id) in ids.iter().enumerate() {
            let weight = ((rank + 1) as f64).powf(-skew);
            weights[id as usize] = weight;
            sum += weight;
        }
        // Scaled so that the mean is 1: an id above it has something to give to those below.
        let scale = f64::from(stories) / sum;
        weights.iter_mut().for_each(|weight| *weight *= scale);
        Zipf { table: alias_table(&mut weights) }
    }

    /// Picks a story id.
    pub fn pick(&self, rng: &mut Rng) -> u32 {
        let random = rng.u64(..);
        // The upper half chooses the entry (multiplication instead of a division), the lower half whether it keeps.
        let id = ((random >> 32) * self.table.len() as u64) >> 32;
        let entry = self.table[id as usize];
        if (random as u32) <= entry.keep { id as u32 } else { entry.alias }
    }
}

/// Vose's way to fill an alias table in linear time; `weights` have mean 1.
fn alias_table(weights: &mut [f64]) -> Vec<Entry> {
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

    fn histogram(zipf: &Zipf, stories: u32, picks: u32, seed: u64) -> Vec<u32> {
        let mut rng = Rng::with_seed(seed);
        let mut counts = vec![0; stories as usize];
        for _ in 0..picks {
            counts[zipf.pick(&mut rng) as usize] += 1;
        }
        counts
    }

    #[test]
    fn frequencies_follow_the_law() {
        let (stories, picks) = (1000, 2_000_000);
        for skew in [0.0, 0.5, 1.0, 1.08, 2.0] {
            let mut counts = histogram(&Zipf::new(stories, skew, 7), stories, picks, 1);
            counts.sort_unstable_by(|a, b| b.cmp(a));
            let norm: f64 = (1..=stories).map(|rank| f64::from(rank).powf(-skew)).sum();
            // The sum over the first ranks is steadier than any single one, and sorting by count biases little.
            for top in [1_usize, 10, 100, 1000] {
                let expected: f64 = (1..=top).map(|rank| (rank as f64).powf(-skew)).sum::<f64>() / norm;
                let found = f64::from(counts[..top].iter().sum::<u32>()) / f64::from(picks);
                let tolerance = if skew == 0.0 { 0.1 } else { 0.02 };
                assert!(
                    (found / expected - 1.0).abs() < tolerance,
                    "skew {skew}, top {top}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn the_same_seed_picks_the_same() {
        let one = histogram(&Zipf::new(500, 1.08, 3), 500, 10_000, 5);
        assert_eq!(one, histogram(&Zipf::new(500, 1.08, 3), 500, 10_000, 5));
        assert_ne!(one, histogram(&Zipf::new(500, 1.08, 4), 500, 10_000, 5));
    }

    #[test]
    fn popular_stories_are_scattered() {
        let counts = histogram(&Zipf::new(1000, 1.08, 9), 1000, 100_000, 5);
        let most = counts.iter().enumerate().max_by_key(|(_, count)| **count).expect("not empty").0;
        let lower: u32 = counts[..500].iter().sum();
        assert_ne!(most, 0, "rank 1 should not be story 0");
        assert!((20_000..80_000).contains(&lower), "{lower} picks in the lower half");
    }

    #[test]
    fn one_story_is_always_picked() {
        let zipf = Zipf::new(1, 1.08, 1);
        assert_eq!(histogram(&zipf, 1, 100, 1), vec![100]);
    }
}
