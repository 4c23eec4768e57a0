//! The tables, the view and the rows of the vote workload.
//!
//! Stories have an id and a title; a vote is a story and a user, each pair once. The view gives title and number of
//! votes by story id. Votes are owned by the shard of (story, user) and counted on the shard of the story, so all but
//! one in N of them cross from one shard to another.

use std::sync::Arc;

use operators::accumulator::Aggregate;
use operators::expr::col;
use operators::hash::{KeyColumns, hash_key, owner};
use operators::{Column, Datum, JoinKind, Plan, PlanBuilder, PlanError, Row, RowBuilder, Rows, Type, column};
use operators::{TableId, ViewId};
use runtime::ShardId;

/// Rows that a lookup of one story returns.
pub const ROWS_PER_STORY: u32 = 1;

/// The plan of the workload, with `views` views that are all alike.
pub fn plan(views: u32) -> Result<Plan, PlanError> {
    let mut builder = PlanBuilder::new();
    let stories = builder.table("stories", &story_columns(), &["id"])?;
    let votes = builder.table("votes", &vote_columns(), &["story_id", "user_id"])?;
    for view in 0..views {
        let counts = builder.aggregate(votes, &["story_id"], &[("votes", Aggregate::Count)])?;
        let joined = builder.join(stories, counts, &[("id", "story_id")], JoinKind::Left)?;
        let columns = [("id", col("id")), ("title", col("title")), ("votes", col("votes"))];
        let shown = builder.map(joined, &columns)?;
        let name = if view == 0 { "story_votes".to_owned() } else { format!("story_votes_{view}") };
        builder.view(&name, shown, &["id"], &[])?;
    }
    builder.build()
}

fn story_columns() -> [Column; 2] {
    [column("id", Type::Int), column("title", Type::Text)]
}

fn vote_columns() -> [Column; 2] {
    [column("story_id", Type::Int), column("user_id", Type::Int)]
}

/// The ids that the plan gave to what the workload uses.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// The table of stories.
    pub stories: TableId,
    /// The table of votes.
    pub votes: TableId,
    /// The view of titles and counts.
    pub view: ViewId,
}

impl Names {
    /// Looks the names up.
    pub fn of(plan: &Plan) -> Result<Names, PlanError> {
        let (stories, votes) = (plan.table("stories")?.id, plan.table("votes")?.id);
        Ok(Names { stories, votes, view: plan.view("story_votes")?.id })
    }
}

/// A title that follows from the story's id, so that every answer can be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Title([u8; 14]);

impl Title {
    /// The title of a story: "story " and eight digits.
    pub fn of(story: u32) -> Title {
        let mut bytes = *b"story 00000000";
        let mut rest = story;
        for digit in bytes[6..].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        Title(bytes)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("it is ASCII")
    }
}

/// Which shard owns each story, worked out once: a lookup then costs no hash.
pub fn story_owners(stories: u32, shards: u16) -> Arc<[u16]> {
    let key = KeyColumns::new(&story_columns(), &[0]);
    let mut builder = RowBuilder::new();
    (0..stories)
        .map(|story| {
            builder.start(2);
            builder.push(Datum::Int(i64::from(story)));
            builder.push(Datum::Text(""));
            owner(hash_key(builder.finish(), &key), shards)
        })
        .collect()
}

/// Builds rows of the workload one after another, without allocating.
#[derive(Debug)]
pub struct RowWriter {
    builder: RowBuilder,
    vote_key: KeyColumns,
    shards: u16,
}

impl RowWriter {
    /// A writer for so many shards.
    pub fn new(shards: u16) -> RowWriter {
        let vote_key = KeyColumns::new(&vote_columns(), &[0, 1]);
        RowWriter { builder: RowBuilder::new(), vote_key, shards }
    }

    /// A vote and the shard that owns it.
    pub fn vote(&mut self, story: u32, user: i64) -> (ShardId, Row<'_>) {
        self.builder.start(2);
        self.builder.push(Datum::Int(i64::from(story)));
        self.builder.push(Datum::Int(user));
        let row = self.builder.finish();
        (ShardId(owner(hash_key(row, &self.vote_key), self.shards)), row)
    }

    /// Appends a story with its title.
    pub fn push_story(&mut self, story: u32, rows: &mut Rows) {
        let title = Title::of(story);
        rows.push_values(&mut self.builder, &[Datum::Int(i64::from(story)), Datum::Text(title.as_str())]);
    }

    /// Appends a lookup key.
    pub fn push_key(&mut self, story: u32, keys: &mut Rows) {
        keys.push_values(&mut self.builder, &[Datum::Int(i64::from(story))]);
    }
}

/// The story of a vote or a lookup key.
pub fn story_of(row: Row<'_>) -> u32 {
    u32::try_from(row.int(0)).expect("the rows that we send are ours")
}

/// One row of the view, as far as it can be told without the tally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Whether id and title are those of the story asked for.
    pub right: bool,
    /// How many votes it shows.
    pub votes: u64,
}

/// Reads a row of the view that was found under `story`.
pub fn read_shown(story: u32, row: Row<'_>) -> Shown {
    let right = row.int(0) == i64::from(story) && row.bytes(1) == Title::of(story).0;
    // Without votes the left join has no count.
    let votes = if row.is_null(2) { 0 } else { row.int(2) };
    Shown { right: right && votes >= 0, votes: votes.max(0) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_have_eight_digits() {
        assert_eq!(Title::of(0).as_str(), "story 00000000");
        assert_eq!(Title::of(12_345_678).as_str(), "story 12345678");
    }

    #[test]
    fn both_owners_are_spread_over_all_shards() {
        let owners = story_owners(10_000, 4);
        let mut writer = RowWriter::new(4);
        let mut counts = [[0; 4]; 2];
        for story in 0..10_000 {
            counts[0][usize::from(owners[story as usize])] += 1;
            counts[1][usize::from(writer.vote(story, 1).0.0)] += 1;
        }
        assert!(counts.iter().flatten().all(|&count| (2_000..3_000).contains(&count)), "{counts:?}");
    }

    #[test]
    fn a_shown_row_is_checked_for_id_and_title() {
        let mut builder = RowBuilder::new();
        let mut rows = Rows::new();
        let title = Title::of(7);
        let row = |id, votes| [Datum::Int(id), Datum::Text(title.as_str()), votes];
        rows.push_values(&mut builder, &row(7, Datum::Int(3)));
        rows.push_values(&mut builder, &row(7, Datum::Null));
        rows.push_values(&mut builder, &row(8, Datum::Int(3)));
        rows.push_values(&mut builder, &row(7, Datum::Int(-1)));
        let shown: Vec<Shown> = rows.iter().map(|row| read_shown(7, row)).collect();
        assert_eq!(shown[0], Shown { right: true, votes: 3 });
        assert_eq!(shown[1], Shown { right: true, votes: 0 });
        assert!(!shown[2].right && !shown[3].right);
    }
}
