//! The plan of the demo: four tables and eleven views that between them use every operator.
//!
//! Each view is a question that somebody at an airport might ask. The same question in SQL, which the oracle answers
//! from the acknowledged writes, stands in [`super::questions`].

use operators::accumulator::Aggregate;
use operators::error::PlanError;
use operators::expr::{call, case, coalesce, col, extract, lit};
use operators::order::{asc, desc};
use operators::plan::{JoinKind, Plan, PlanBuilder, Stream};
use operators::value::Type;

use super::tables;

/// Rows of each departures board.
pub const BOARD_ROWS: u32 = 20;
/// Aircraft of each carrier among its busiest.
pub const BUSIEST_ROWS: u32 = 10;
/// A flight that arrives more than so many minutes late counts as late, as the US authorities have it.
pub const LATE_MINUTES: i64 = 15;

/// The streams that views start from.
struct Sources {
    flights: Stream,
    /// Flights that have left.
    departed: Stream,
    /// Flights that have arrived.
    arrived: Stream,
    airlines: Stream,
    airports: Stream,
    planes: Stream,
}

/// The whole plan.
pub fn plan() -> Result<Plan, PlanError> {
    let mut builder = PlanBuilder::new();
    let p = &mut builder;
    let sources = sources(p)?;
    departures(p, &sources)?;
    punctuality(p, &sources)?;
    routes(p, &sources)?;
    busiest_aircraft(p, &sources)?;
    destinations(p, &sources)?;
    traffic(p, &sources)?;
    delays_by_hour(p, &sources)?;
    unlisted_airports(p, &sources)?;
    in_the_air(p, &sources)?;
    speed(p, &sources)?;
    airlines_at(p, &sources)?;
    builder.build()
}

fn sources(p: &mut PlanBuilder) -> Result<Sources, PlanError> {
    let mut table = |table: &tables::Table| p.table(table.name, &table.columns(), &[table.key]);
    let flights = table(&tables::FLIGHTS)?;
    let airlines = table(&tables::AIRLINES)?;
    let airports = table(&tables::AIRPORTS)?;
    let planes = table(&tables::PLANES)?;
    let departed = p.filter(flights, col("departed").is_not_null())?;
    let arrived = p.filter(flights, col("arrived").is_not_null())?;
    Ok(Sources { flights, departed, arrived, airlines, airports, planes })
}

/// The last flights to leave each airport, with the full name of where they went.
fn departures(p: &mut PlanBuilder, s: &Sources) -> Result<(), PlanError> {
    let last = p.top_k(s.departed, &["origin"], &[desc("departed"), asc("id")], BOARD_ROWS)?;
    let named = p.join(last, s.airports, &[("dest", "faa")], JoinKind::Left)?;
    let board = p.map(
        named,
        &[
            ("origin", col("origin")),
            ("departed", col("departed")),
            ("id", col("id")),
            ("flight", col("carrier").concat(lit(" ")).concat(col("number"))),
            ("to", call("upper", [coalesce([col("airport"), col("dest")])])),
            ("dep_delay", col("dep_delay")),
        ],
    )?;
    p.view("departures", board, &["origin"], &[desc("departed"), asc("id")])?;
    Ok(())
}

/// How late each carrier arrives.
fn punctuality(p: &mut PlanBuilder, s: &Sources) -> Result<(), PlanError> {
    let rated = p.map(
        s.arrived,
        &[
            ("carrier", col("carrier")),
            ("arr_delay", col("arr_delay")),
            ("late", case([(col("arr_delay").gt(lit(LATE_MINUTES)), lit(1))], lit(0))),
        ],
    )?;
    let named = p.join(rated, s.airlines, &[("carrier", "code")], JoinKind::Inner)?;
    let totals = p.aggregate(
        named,
        &["carrier", "airline"],
        &[
            ("flights", Aggregate::Count),
            ("rated", Aggregate::CountOf("arr_delay".into())),
            ("delay_sum", Aggregate::Sum("arr_delay".into())),
            ("delay_mean", Aggregate::Avg("arr_delay".into())),
            ("late", Aggregate::Sum("late".into())),
            ("earliest", Aggregate::Min("arr_delay".into())),
            ("latest", Aggregate::Max("arr_delay".into())),
        ],
    )?;
    p.view("punctuality", totals, &["carrier"], &[])?;
    Ok(())
}

/// Where one can go from each airport, worst delays first.
fn routes(p: &mut PlanBuilder, s: &Sources) -> Result<(), PlanError> {
    let routes = p.aggregate(
        s.flights,
        &["origin", "dest"],
        &[
            ("flights", Aggregate::Count),
            ("carriers", Aggregate::CountDistinct("carrier".into())),
            ("delay_mean", Aggregate::Avg("arr_delay".into())),
            ("shortest", Aggregate::Min("air_time".into())),
            ("longest", Aggregate::Max("air_time".into())),
        ],
    )?;
    p.view("routes", routes, &["origin"], &[desc("delay_mean"), asc("dest")])?;
    Ok(())
}

/// The aircraft that each carrier has flown most often; not every one is registered.
fn busiest_aircraft(p: &mut PlanBuilder, s: &Sources) -> Result<(), PlanError> {
    let known = p.filter(s.departed, col("tailnum").is_not_null())?;
    let counted = p.aggregate(
        known,
        &["carrier", "tailnum"],
        &[("flights", Aggregate::Count), ("miles", Aggregate::Sum("distance".into()))],
    )?;
    let busiest = p.top_k(counted, &["carrier"], &[desc("flights"), asc("tailnum")], BUSIEST_ROWS)?;
    let described = p.join(busiest, s.planes, &[("tailnum", "registration")], JoinKind::Left)?;
    let out = p.map(
        described,
        &[
            ("carrier", col("carrier")),
            ("tailnum", col("tailnum")),
            ("flights", col("flights")),
            ("miles", col("miles")),
            ("manufacturer", coalesce([col("manufacturer"), lit("not registered")])),
            ("model", col("model")),
            ("built", col("built")),
        ],
    )?;
    p.view("busiest_aircraft", out, &["carrier"], &[desc("flights"), asc("tailnum")])?;
    Ok(())
}

/// How many places each airport serves, and which.
fn destinations(p: &mut PlanBuilder, s: &Sources) -> Result<(), PlanError> {
    let pairs = p.map(s.flights, &[("origin", col("origin")), ("dest", col("dest"))])?;
    let distinct = p.distinct(pairs)?;
    let listed = p.aggregate(
        distinct,
        &["origin"],
        &[("destinations", Aggregate::Count), ("list", listing("dest", " ", "dest"))],
    )?;
    p.view("destinations", listed, &["origin"], &[])?;
    Ok(())
}

/// Departures and arrivals of every airport, day by day on its own clock.
fn traffic(p: &mut PlanBuilder, s: &Sources) -> Result<(), PlanError> {
    let movement = |airport: &str, time: &str, departures: i64| {
        [
            ("airport", col(airport)),
            ("day", call("date", [col(time)])),
            ("departures", lit(departures)),
            ("arrivals", lit(1 - departures)),
        ]
    };
    let departures = p.map(s.departed, &movement("origin", "departed", 1))?;
    let arrivals = p.map(s.arrived, &movement("dest", "arrived", 0))?;
    let movements = p.union_all(&[departures, arrivals])?;
    let days = p.aggregate(
        movements,
        &["airport", "day"],
        &[
            ("departures", Aggregate::Sum("departures".into())),
            ("arrivals", Aggregate::Sum("arrivals".into())),
            ("movements", Aggregate::Count),
        ],
    )?;
    p.view("traffic", days, &["airport"], &[asc("day")])?;
    Ok(())
}

/// How delays of departures are spread, for every hour of the day.
fn delays_by_hour(p: &mut PlanBuilder, s: &Sources) -> Result<(), PlanError> {
    let delay = || col("dep_delay");
    let rated = p.map(
        s.departed,
        &[
            ("hour", extract("hour", col("scheduled"))),
            (
                "how",
                case(
                    [
                        (delay().le(lit(0)), lit("on time")),
                        (delay().le(lit(LATE_MINUTES)), lit("a little late")),
                        (delay().le(lit(60)), lit("late")),
                    ],
                    lit("very late"),
                ),
            ),
            ("dep_delay", delay()),
        ],
    )?;
    let counted = p.aggregate(
        rated,
        &["hour", "how"],
        &[
            ("flights", Aggregate::Count),
            ("delay_mean", Aggregate::Avg("dep_delay".into())),
            ("delay_max", Aggregate::Max("dep_delay".into())),
        ],
    )?;
    p.view("delays_by_hour", counted, &["hour"], &[asc("how")])?;
    Ok(())
}

/// Destinations that the table of airports does not have.
fn unlisted_airports(p: &mut PlanBuilder, s: &Sources) -> Result<(), PlanError> {
    let named = p.join(s.flights, s.airports, &[("dest", "faa")], JoinKind::Left)?;
    let unlisted = p.filter(named, col("airport").is_null())?;
    let counted = p.aggregate(
        unlisted,
        &["dest"],
        &[
            ("flights", Aggregate::Count),
            ("first", Aggregate::Min("scheduled".into())),
            ("last", Aggregate::Max("scheduled".into())),
        ],
    )?;
    p.view("unlisted_airports", counted, &["dest"], &[])?;
    Ok(())
}

/// Flights that have left and have not arrived: rows come and go all the time.
fn in_the_air(p: &mut PlanBuilder, s: &Sources) -> Result<(), PlanError> {
    let flying = p.filter(s.departed, col("arrived").is_null())?;
    let shown = p.map(
        flying,
        &[
            ("dest", col("dest")),
            ("departed", col("departed")),
            ("id", col("id")),
            ("origin", col("origin")),
            ("delayed", col("dep_delay").gt(lit(LATE_MINUTES))),
        ],
    )?;
    p.view("in_the_air", shown, &["dest"], &[asc("departed"), asc("id")])?;
    Ok(())
}

/// How fast the aircraft of each maker fly: sums and means of floats, which must not depend on the order of arrival.
fn speed(p: &mut PlanBuilder, s: &Sources) -> Result<(), PlanError> {
    let timed = p.filter(s.arrived, col("air_time").is_not_null())?;
    let made = p.join(timed, s.planes, &[("tailnum", "registration")], JoinKind::Inner)?;
    let hours = || col("air_time").cast(Type::Float).div(lit(60.0));
    let speeds = p.map(
        made,
        &[
            ("manufacturer", col("manufacturer")),
            ("tailnum", col("tailnum")),
            ("hours", hours()),
            ("mph", col("distance").cast(Type::Float).div(hours())),
        ],
    )?;
    let totals = p.aggregate(
        speeds,
        &["manufacturer"],
        &[
            ("flights", Aggregate::Count),
            ("aircraft", Aggregate::CountDistinct("tailnum".into())),
            ("hours", Aggregate::Sum("hours".into())),
            ("mph_mean", Aggregate::Avg("mph".into())),
            ("mph_max", Aggregate::Max("mph".into())),
        ],
    )?;
    p.view("speed", totals, &["manufacturer"], &[])?;
    Ok(())
}

/// Which carriers fly to each place, by name.
fn airlines_at(p: &mut PlanBuilder, s: &Sources) -> Result<(), PlanError> {
    let pairs = p.map(s.departed, &[("dest", col("dest")), ("carrier", col("carrier"))])?;
    let distinct = p.distinct(pairs)?;
    let named = p.join(distinct, s.airlines, &[("carrier", "code")], JoinKind::Inner)?;
    let listed = p.aggregate(
        named,
        &["dest"],
        &[("airlines", Aggregate::Count), ("list", listing("airline", "; ", "airline"))],
    )?;
    p.view("airlines_at", listed, &["dest"], &[])?;
    Ok(())
}

fn listing(column: &str, separator: &str, order: &str) -> Aggregate {
    Aggregate::StringAgg {
        column: column.into(),
        separator: separator.into(),
        order: vec![asc(order)],
        distinct: false,
    }
}
