//! A database of stories and votes for the tests, with a folder of its own.

use operators::accumulator::Aggregate;
use operators::expr::col;
use operators::{Datum, JoinKind, Plan, PlanBuilder, RowBuilder, Rows, TableId, Type, ViewId, WriteKind};
use operators::{asc, column};
use runtime::ShardId;
use runtime::front::Front;
use runtime::live::{Options, Supervisor};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longer than anything takes on a machine that works.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The shards of most tests.
pub const SHARDS: u16 = 2;

/// A folder that goes when the test does.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // O_DIRECT needs a real file system, which a temporary folder may not be.
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = parent.join(format!("it-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).expect("makes a folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder left behind is no reason to fail.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// stories(id, title), votes(story_id, user_id), and a view of both.
pub fn plan() -> Plan {
    let build = || {
        let mut plan = PlanBuilder::new();
        let stories =
            plan.table("stories", &[column("id", Type::Int), column("title", Type::Text)], &["id"])?;
        let votes = [column("story_id", Type::Int), column("user_id", Type::Int)];
        let votes = plan.table("votes", &votes, &["story_id", "user_id"])?;
        let counts = plan.aggregate(votes, &["story_id"], &[("votes", Aggregate::Count)])?;
        let joined = plan.join(stories, counts, &[("id", "story_id")], JoinKind::Inner)?;
        let columns = [("id", col("id")), ("title", col("title")), ("votes", col("votes"))];
        let out = plan.map(joined, &columns)?;
        plan.view("story_votes", out, &["id"], &[asc("id")])?;
        plan.build()
    };
    build().expect("the plan is right")
}

/// The plan with one more table and view.
pub fn extended() -> Plan {
    let build = || {
        let mut plan = PlanBuilder::extend(plan());
        let users = plan.table("users", &[column("id", Type::Int), column("name", Type::Text)], &["id"])?;
        plan.view("users", users, &["id"], &[asc("id")])?;
        plan.build()
    };
    build().expect("the plan is right")
}

/// The plan with one more view, over the table of votes.
pub fn filled() -> Plan {
    with_user_votes(&plan())
}

/// A plan without the view that is added later.
pub fn without_user_votes(plan: &Plan) -> Plan {
    let mut builder = PlanBuilder::extend(plan.clone());
    builder.drop_view("user_votes").expect("it is there");
    builder.build().expect("the plan is right")
}

/// A plan with one more view, over the table of votes.
pub fn with_user_votes(plan: &Plan) -> Plan {
    let build = || {
        let mut plan = PlanBuilder::extend(plan.clone());
        let votes = plan.table_stream("votes")?;
        let counts = plan.aggregate(votes, &["user_id"], &[("votes", Aggregate::Count)])?;
        plan.view("user_votes", counts, &["user_id"], &[])?;
        plan.build()
    };
    build().expect("the plan is right")
}

/// That, without the view it had first.
pub fn without_story_votes() -> Plan {
    let mut plan = PlanBuilder::extend(filled());
    plan.drop_view("story_votes").expect("it is there");
    plan.build().expect("the plan is right")
}

/// The options of the tests: shards are processes of the program beside this one.
pub fn options(folder: &Folder, shards: u16) -> Options {
    let mut options = Options::new(&folder.0, shards);
    options.plan = Some(plan());
    options.program = PathBuf::from(env!("CARGO_BIN_EXE_shard-host"));
    options.fronts_max = 4;
    // The machine that runs the tests may be busy with other things.
    options.stall_timeout = Duration::from_secs(3);
    options
}

pub fn start(options: Options) -> Supervisor {
    let supervisor = Supervisor::start(options).expect("starts");
    assert!(supervisor.wait_serving(DEADLINE), "serves in time: {:?}", supervisor.status());
    supervisor
}

/// Waits until `done`, which must come.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        // Between two looks the watched are left alone.
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Writes and reads stories and votes.
pub struct Client {
    pub front: Front,
    builder: RowBuilder,
    stories: TableId,
    votes: TableId,
    story_votes: ViewId,
}

impl Client {
    pub fn connect(folder: &Folder) -> Client {
        let front = Front::connect(&folder.0).expect("connects");
        let plan = front.plan();
        let (stories, votes) =
            (plan.table("stories").expect("is there").id, plan.table("votes").expect("is there").id);
        let story_votes = plan.view("story_votes").expect("is there").id;
        Client { front, builder: RowBuilder::new(), stories, votes, story_votes }
    }

    pub fn add_stories(&mut self, ids: impl IntoIterator<Item = i64>) {
        let mut rows = Rows::new();
        for id in ids {
            let title = format!("story {id}");
            rows.push_values(&mut self.builder, &[Datum::Int(id), Datum::Text(&title)]);
        }
        self.front.write_wait(self.stories, WriteKind::Upsert, &rows).expect("is acknowledged");
    }

    pub fn vote_rows(&mut self, votes: impl IntoIterator<Item = (i64, i64)>) -> (TableId, Rows) {
        let mut rows = Rows::new();
        for (story, user) in votes {
            rows.push_values(&mut self.builder, &[Datum::Int(story), Datum::Int(user)]);
        }
        (self.votes, rows)
    }

    pub fn vote(&mut self, votes: impl IntoIterator<Item = (i64, i64)>) {
        let (table, rows) = self.vote_rows(votes);
        let changed = self.front.write_wait(table, WriteKind::Insert, &rows).expect("is acknowledged");
        assert_eq!(changed, rows.count);
    }

    /// The shard that has the row of a story in the view.
    pub fn owner_of_story(&mut self, story: i64) -> ShardId {
        let mut key = Rows::new();
        key.push_values(&mut self.builder, &[Datum::Int(story)]);
        let row = key.iter().next().expect("one key");
        self.front.owner_of_key(self.story_votes, row).expect("a view")
    }

    /// The shard that takes the vote of a user for a story.
    pub fn owner_of_vote(&mut self, story: i64, user: i64) -> ShardId {
        let (table, rows) = self.vote_rows([(story, user)]);
        let row = rows.iter().next().expect("one row");
        self.front.owner_of_row(table, WriteKind::Insert, row).expect("a table")
    }

    /// Votes of a story; none if it has no votes or is not there.
    pub fn votes_of(&mut self, stories: &[i64]) -> Vec<Option<i64>> {
        let mut keys = Rows::new();
        stories.iter().for_each(|id| keys.push_values(&mut self.builder, &[Datum::Int(*id)]));
        let (counts, rows) = self.front.lookup_wait(self.story_votes, &keys, 10).expect("is answered");
        let mut rows = rows.iter();
        let found = counts.iter().zip(stories).map(|(count, story)| {
            assert!(*count <= 1, "a story has one row");
            (*count == 1).then(|| {
                let row = rows.next().expect("counted");
                assert_eq!((row.int(0), row.text(1)), (*story, &format!("story {story}")[..]));
                row.int(2)
            })
        });
        found.collect()
    }

    /// Votes of a user, by the view that is added later; none while it is not there or is being filled.
    pub fn votes_of_user(&mut self, user: i64) -> Option<i64> {
        let view = self.front.plan().view("user_votes").expect("is there").id;
        let mut keys = Rows::new();
        keys.push_values(&mut self.builder, &[Datum::Int(user)]);
        let (_, rows) = self.front.lookup_wait(view, &keys, 1).ok()?;
        rows.iter().next().map(|row| row.int(1))
    }

    /// Whether the shard says that the first view is not there.
    pub fn story_votes_is_refused(&mut self) -> bool {
        let mut keys = Rows::new();
        keys.push_values(&mut self.builder, &[Datum::Int(1)]);
        self.front
            .lookup_wait(self.story_votes, &keys, 1)
            .is_err_and(|error| error.to_string().contains("dropped"))
    }

    /// Waits until these stories have so many votes.
    pub fn expect_votes(&mut self, expected: &[(i64, i64)]) {
        let stories: Vec<i64> = expected.iter().map(|(story, _)| *story).collect();
        let wanted: Vec<Option<i64>> = expected.iter().map(|(_, votes)| Some(*votes)).collect();
        let mut seen = Vec::new();
        let deadline = Instant::now() + DEADLINE;
        while seen != wanted {
            assert!(
                Instant::now() < deadline,
                "stories {stories:?} have {seen:?} votes instead of {wanted:?}"
            );
            seen = self.votes_of(&stories);
        }
    }
}

/// All shards.
pub fn shards(supervisor: &Supervisor) -> impl Iterator<Item = ShardId> + use<> {
    (0..supervisor.shards()).map(ShardId)
}
