//! How fast one shard takes votes: prints votes per second of the plan behind `sakia bench vote`, in this process,
//! without rings and logs. Counted is the time on the core, so that a busy machine does not matter much.
//!
//! `cargo run --release -p operators --example vote_speed [votes] [batch] [stories] [shards]`

use operators::accumulator::Aggregate;
use operators::{
    Dataflow, Datum, JoinKind, Outputs, Plan, PlanBuilder, PlanError, RowBuilder, Rows, Type, WriteKind,
    column,
};
use std::time::Instant;

const SKEW: f64 = 1.08;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |text| text.parse::<u64>());
    let (votes, batch, stories, shards) = (number(10_000_000)?, number(100)?, number(500_000)?, number(1)?);
    let plan = plan()?;
    let mut dataflow = Dataflow::new(0, shards as u16);
    dataflow.install(&plan)?;
    let mut out = Outputs::new(shards as u16);
    let mut builder = RowBuilder::new();

    let stories_table = plan.table("stories")?;
    let begun = Instant::now();
    let mut rows = Rows::new();
    for id in 0..stories as i64 {
        rows.push_values(&mut builder, &[Datum::Int(id), Datum::Text(&format!("Story number {id}"))]);
        if rows.count == 1000 || id + 1 == stories as i64 {
            dataflow.write(stories_table.id, WriteKind::Insert, &rows.rows)?;
            dataflow.finish(&mut out);
            rows.clear();
        }
    }
    println!("{stories} stories in {:?}", begun.elapsed());

    // Writes are made ahead, a round at a time, so that only the dataflow is measured.
    let votes_table = plan.table("votes")?;
    let mut picks = Picks::new(stories);
    let (mut done, mut took, mut round) = (0, 0.0, 0);
    while done < votes {
        let batches: Vec<Rows> = (0..(1_000_000 / batch).max(1))
            .map(|_| {
                let mut rows = Rows::new();
                for _ in 0..batch {
                    done += 1;
                    rows.push_values(&mut builder, &[Datum::Int(picks.next()), Datum::Int(done as i64)]);
                }
                rows
            })
            .collect();
        let count: u64 = batches.iter().map(|rows| u64::from(rows.count)).sum();
        let begun = cpu_seconds();
        for rows in &batches {
            dataflow.validate_write(votes_table.id, WriteKind::Insert, &rows.rows)?;
            dataflow.write(votes_table.id, WriteKind::Insert, &rows.rows)?;
            dataflow.finish(&mut out);
        }
        let elapsed = cpu_seconds() - begun;
        took += elapsed;
        round += 1;
        if round % 5 == 1 {
            println!("{done:>11} votes, this round {:>9.0} votes/s", count as f64 / elapsed);
        }
    }
    println!("batch {batch}: {:.0} votes/s, {} MiB", done as f64 / took, dataflow.bytes() >> 20);
    Ok(())
}

fn plan() -> Result<Plan, PlanError> {
    let mut p = PlanBuilder::new();
    let stories = p.table("stories", &[column("id", Type::Int), column("title", Type::Text)], &["id"])?;
    let votes = [column("story_id", Type::Int), column("user_id", Type::Int)];
    let votes = p.table("votes", &votes, &["story_id", "user_id"])?;
    let counts = p.aggregate(votes, &["story_id"], &[("votes", Aggregate::Count)])?;
    let joined = p.join(stories, counts, &[("id", "story_id")], JoinKind::Inner)?;
    let chosen = p.project(joined, &["id", "title", "votes"])?;
    p.view("story_votes", chosen, &["id"], &[])?;
    p.build()
}

/// The time that this thread has run on a core: what other processes take does not count.
fn cpu_seconds() -> f64 {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux has schedstat");
    let nanoseconds = statistics.split_whitespace().next().and_then(|text| text.parse::<f64>().ok());
    nanoseconds.expect("it begins with the time run") / 1e9
}

/// Stories by a Zipf distribution, by inverting its cumulated weights.
struct Picks {
    cumulated: Vec<f64>,
    /// Stories in a shuffled order, so that popular ones do not lie side by side.
    order: Vec<u32>,
    random: fastrand::Rng,
}

impl Picks {
    fn new(stories: u64) -> Self {
        let mut sum = 0.0;
        let cumulated = (1..=stories).map(|rank| {
            sum += (rank as f64).powf(-SKEW);
            sum
        });
        let cumulated = cumulated.collect();
        let mut random = fastrand::Rng::with_seed(1);
        let mut order: Vec<u32> = (0..stories as u32).collect();
        random.shuffle(&mut order);
        Picks { cumulated, order, random }
    }

    fn next(&mut self) -> i64 {
        let at = self.random.f64() * self.cumulated.last().expect("there are stories");
        let rank = self.cumulated.partition_point(|sum| *sum < at).min(self.order.len() - 1);
        i64::from(self.order[rank])
    }
}
