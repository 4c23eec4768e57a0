//! Plans: where exchanges go, what errors say, and that a plan survives its archive.

use operators::accumulator::Aggregate;
use operators::expr::{col, lit};
use operators::plan::{Operator, ViewInput};
use operators::{
    Dataflow, JoinKind, OperatorId, Plan, PlanBuilder, PlanError, Stream, TableId, Type, WriteKind, asc,
    column,
};
use std::sync::Arc;

fn builder() -> (PlanBuilder, Stream, Stream) {
    let mut p = PlanBuilder::new();
    let stories = p.table("stories", &[column("id", Type::Int), column("title", Type::Text)], &["id"]);
    let votes = [column("story_id", Type::Int), column("user_id", Type::Int)];
    let votes = p.table("votes", &votes, &["story_id", "user_id"]);
    let (stories, votes) = (stories.expect("sound"), votes.expect("sound"));
    (p, stories, votes)
}

/// The operators of a plan, in short.
fn shape(plan: &Plan) -> String {
    let name = |operator: &Operator| match operator {
        Operator::Exchange(spec) => format!("exchange{:?}", spec.key),
        Operator::Map(spec) => format!("map{}", spec.expressions.len()),
        other => operators::plan::check::operator_name(other).to_owned(),
    };
    plan.nodes.iter().map(|node| name(&node.operator)).collect::<Vec<_>>().join(" ")
}

fn built(p: PlanBuilder) -> Plan {
    let plan = p.build().expect("sound");
    Dataflow::new(0, 2).install(&plan).expect("what the builder made can be installed");
    let archive = rkyv::to_bytes::<rkyv::rancor::Error>(&plan).expect("it fits");
    let copy: Plan = rkyv::from_bytes::<Plan, rkyv::rancor::Error>(&archive).expect("it is valid");
    assert_eq!(copy, plan);
    plan
}

#[test]
fn votes_are_narrowed_before_they_are_exchanged() -> Result<(), PlanError> {
    let (mut p, stories, votes) = builder();
    let counts = p.aggregate(votes, &["story_id"], &[("votes", Aggregate::Count)])?;
    let joined = p.join(stories, counts, &[("id", "story_id")], JoinKind::Left)?;
    let chosen = p.project(joined, &["title", "votes", "id"])?;
    p.view("story_votes", chosen, &["id"], &[])?;
    let plan = built(p);
    assert_eq!(shape(&plan), "table table map1 exchange[0] aggregate join map3 view");
    assert!(plan.view("story_votes")?.columns[1].nullable, "a story may have no votes");
    Ok(())
}

#[test]
fn exchanges_go_only_where_rows_lie_apart() -> Result<(), PlanError> {
    let (mut p, stories, votes) = builder();
    // Titles can be anywhere; the same exchange serves both readers.
    let by_title = p.aggregate(stories, &["title"], &[("stories", Aggregate::Count)])?;
    p.view("titles", by_title, &["title"], &[])?;
    // Rows with equal (story_id, user_id) are together by (story_id, user_id), in any order and with more columns.
    let same = p.aggregate(votes, &["user_id", "story_id"], &[("n", Aggregate::Count)])?;
    let first = p.top_k(same, &["user_id"], &[asc("n")], 3)?;
    p.view("first", first, &["user_id"], &[])?;
    let unique = p.distinct(votes)?;
    p.view("unique", unique, &["story_id", "user_id"], &[])?;
    assert_eq!(
        shape(&built(p)),
        "table table map1 exchange[0] aggregate view aggregate exchange[0] top-k view distinct view"
    );
    Ok(())
}

#[test]
fn a_join_leaves_one_side_where_it_is() -> Result<(), PlanError> {
    let (mut p, stories, votes) = builder();
    let joined = p.join(votes, stories, &[("story_id", "id")], JoinKind::Inner)?;
    // After it, rows lie by story_id and by id, which are equal.
    let counted = p.aggregate(joined, &["id", "title"], &[("votes", Aggregate::Count)])?;
    p.view("counted", counted, &["id"], &[])?;
    assert_eq!(shape(&built(p)), "table table exchange[0] join aggregate view");
    Ok(())
}

#[test]
fn names_clash_visibly() -> Result<(), PlanError> {
    let (mut p, stories, _) = builder();
    let twice = p.join(stories, stories, &[("id", "id")], JoinKind::Inner)?;
    let thrice = p.join(twice, stories, &[("right.id", "id")], JoinKind::Inner)?;
    let names: Vec<&str> = p.columns(thrice).iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["id", "title", "right.id", "right.title", "right.right.id", "right.right.title"]);
    Ok(())
}

/// What the builder says to a mistake.
fn refused(mistake: impl FnOnce(&mut PlanBuilder, Stream, Stream) -> Result<Stream, PlanError>) -> String {
    let (mut p, stories, votes) = builder();
    let message = mistake(&mut p, stories, votes).expect_err("it is a mistake").to_string();
    // A refused operator leaves nothing behind.
    assert_eq!(shape(&built(p)), "table table");
    message
}

#[test]
fn errors_name_operator_and_column_and_what_there_is() {
    let check = |found: String, expected: &str| assert_eq!(found, expected);
    check(
        refused(|p, stories, _| p.filter(stories, col("nmae").eq(lit(1)))),
        "filter (operator 2): there is no column \"nmae\", only id, title",
    );
    check(
        refused(|p, stories, _| p.filter(stories, col("id").add(lit(1)))),
        "filter (operator 2): the predicate is int8, not bool",
    );
    check(
        refused(|p, stories, votes| p.join(stories, votes, &[("id", "story")], JoinKind::Inner)),
        "join (operator 2): there is no column \"story\", only story_id, user_id",
    );
    check(
        refused(|p, stories, votes| p.join(stories, votes, &[("title", "story_id")], JoinKind::Inner)),
        "join (operator 2): \"title\" is text but \"story_id\" is int8: cast one of them",
    );
    check(
        refused(|p, stories, votes| p.join(stories, votes, &[], JoinKind::Inner)),
        "join (operator 2): a join needs at least one pair of key columns",
    );
    check(
        refused(|p, stories, votes| p.union_all(&[stories, votes])),
        "union (operator 2): input 2 has the columns story_id int8, user_id int8, but the first has id int8, title text",
    );
    check(
        refused(|p, stories, _| p.aggregate(stories, &["id", "id"], &[])),
        "aggregate (operator 2): the key has the column \"id\" twice",
    );
    check(
        refused(|p, stories, _| p.aggregate(stories, &["id"], &[("id", Aggregate::Count)])),
        "aggregate (operator 2): two columns have the name \"id\"",
    );
    check(
        refused(|p, stories, _| p.aggregate(stories, &["title"], &[("s", Aggregate::sum("titel"))])),
        "aggregate (operator 2): there is no column \"titel\", only id, title",
    );
    check(
        refused(|p, stories, _| p.top_k(stories, &[], &[asc("x")], 1)),
        "top-k (operator 2): there is no column \"x\", only id, title",
    );
    check(
        refused(|p, stories, _| p.top_k(stories, &[], &[asc("id")], 0)),
        "top-k (operator 2): a limit of 0 keeps nothing",
    );
    check(
        refused(|p, _, _| p.table("stories", &[column("id", Type::Int)], &["id"])),
        "table \"stories\": there is a table of this name already",
    );
    check(
        refused(|p, _, _| p.table("t", &[column("id", Type::Int).nullable()], &["id"])),
        "table \"t\": the key column \"id\" must not be nullable",
    );
    check(
        refused(|p, _, _| p.table("t", &[column("id", Type::Int)], &["key"])),
        "table \"t\": there is no column \"key\", only id",
    );
    check(refused(|p, _, _| p.table_stream("storys")), "there is no table \"storys\", only stories, votes");
    check(
        refused(|p, stories, _| p.view("v", stories, &["user"], &[]).map(|_| stories)),
        "view \"v\": there is no column \"user\", only id, title",
    );
    let (p, ..) = builder();
    check(built(p).view("v").expect_err("there is none").to_string(), "there is no view \"v\", only nothing");
}

#[test]
fn a_later_plan_adds_to_an_earlier_one() -> Result<(), PlanError> {
    let (mut p, stories, _) = builder();
    p.view("stories", stories, &["id"], &[])?;
    let first = p.build()?;
    let mut dataflow = Dataflow::new(0, 1);
    dataflow.install(&first)?;
    let mut p = PlanBuilder::extend(first.clone());
    let other = p.table("other", &[column("x", Type::Int)], &["x"])?;
    p.view("others", other, &["x"], &[])?;
    let second = p.build()?;
    dataflow.install(&second)?;
    dataflow.install(&second)?;
    assert_eq!(dataflow.plan(), &second);

    let mut p = PlanBuilder::extend(second.clone());
    let stories = p.table_stream("stories")?;
    p.view("late", stories, &["id"], &[])?;
    let third = p.build()?;
    assert_eq!(shape(&third), "table table view table view backfill view");
    let mut unsound = third;
    let view = Arc::make_mut(&mut unsound.nodes[6]);
    view.operator = match &view.operator {
        Operator::View(spec) => Operator::View(ViewInput { input: OperatorId(0), ..spec.clone() }),
        other => unreachable!("{other:?} is no view"),
    };
    let message = dataflow.install(&unsound).expect_err("stories may have rows").to_string();
    assert_eq!(message, "view (operator 6): its input 0 is installed already and may hold rows");
    let message = dataflow.install(&first).expect_err("a table is missing").to_string();
    assert_eq!(message, "plan: it changes what is installed");
    assert_eq!(dataflow.plan(), &second);
    Ok(())
}

#[test]
fn a_plan_from_elsewhere_is_checked() -> Result<(), PlanError> {
    let (mut p, stories, _) = builder();
    let titles = p.project(stories, &["title"])?;
    p.view("titles", titles, &["title"], &[])?;
    let plan = p.build()?;
    let refused = |change: fn(&mut Plan)| {
        let mut plan = plan.clone();
        change(&mut plan);
        Dataflow::new(0, 1).install(&plan).expect_err("it is not sound").to_string()
    };
    let message = refused(|plan| Arc::make_mut(&mut plan.nodes[2]).columns[0].ty = Type::Int);
    assert_eq!(message, "map (operator 2): its columns or its name do not follow from its inputs");
    let message = refused(|plan| plan.nodes.swap(2, 3));
    assert_eq!(message, "exchange (operator 3): it stands at place 2");
    let message = refused(|plan| {
        if let Operator::Exchange(spec) = &mut Arc::make_mut(&mut plan.nodes[3]).operator {
            spec.key = vec![7];
        }
    });
    assert_eq!(message, "exchange (operator 3): there is no column at 7");
    Ok(())
}

#[test]
fn what_is_dropped_is_refused_and_its_name_is_free() -> Result<(), PlanError> {
    let (mut p, stories, votes) = builder();
    let counts = p.aggregate(votes, &["user_id"], &[("n", Aggregate::Count)])?;
    let view = p.view("counts", counts, &["user_id"], &[])?;
    p.view("stories", stories, &["id"], &[])?;
    let first = built(p);
    let mut dataflow = Dataflow::new(0, 1);
    dataflow.install(&first)?;
    let exchange = first.nodes.iter().find(|node| matches!(node.operator, Operator::Exchange(_)));
    let exchange = exchange.expect("votes are not by user").id;

    let mut p = PlanBuilder::extend(first);
    let message = p.drop_table("votes").expect_err("counts needs it").to_string();
    assert_eq!(message, "table \"votes\": it is needed by counts");
    p.drop_view("counts")?;
    p.drop_table("votes")?;
    assert!(p.drop_view("counts").is_err(), "it is gone");
    let other = p.table("votes", &[column("x", Type::Int)], &["x"])?;
    p.view("counts", other, &["x"], &[])?;
    let second = p.build()?;
    assert_eq!(shape(&second), "table dropped dropped dropped dropped dropped view table view");
    dataflow.install(&second)?;
    let refused = dataflow.scan(view).expect_err("it is dropped").to_string();
    assert_eq!(refused, "view \"counts\" has been dropped");
    let refused = dataflow.write(TableId(1), WriteKind::Insert, &[]).expect_err("it is dropped").to_string();
    assert_eq!(refused, "table \"votes\" has been dropped");
    dataflow.apply(exchange, &[]);
    assert!(dataflow.scan(second.view("counts")?.id).is_ok());
    Ok(())
}
