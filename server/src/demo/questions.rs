//! What the views of the plan must show, said a second time in SQL.
//!
//! A query selects a view's columns in the view's order, and orders the rows of one key as the view does. Where SQLite
//! computes otherwise than the engine promises, the query says so: NULL sorts above every value, sums and means of
//! floats are exact (`exact_sum` and `exact_mean`, which the oracle adds), the mean of integers is their sum divided
//! once.

use std::collections::{BTreeSet, HashSet};

use super::data::{Code, Data};
use super::oracle::Value;

/// Rows of each departures board.
const BOARD_ROWS: u32 = 20;
/// Aircraft of each carrier among its busiest.
const BUSIEST_ROWS: u32 = 10;
/// A flight that arrives more than so many minutes late counts as late, as the US authorities have it.
const LATE_MINUTES: i64 = 15;

/// One view and its query.
pub struct Question {
    /// The view's name in the plan.
    pub view: &'static str,
    /// What it answers, for people.
    pub title: &'static str,
    /// The lookup keys that can ever have had rows.
    pub keys: Keys,
    /// The query.
    pub sql: String,
}

/// Sets of lookup keys. They come from the data rather than from the oracle's tables, so that rows which should be gone
/// altogether are looked for as well.
#[derive(Clone, Copy, Debug)]
pub enum Keys {
    /// The airports of departure.
    Origins,
    /// The airports that flights are bound for.
    Destinations,
    /// Both.
    Airports,
    /// The carriers.
    Carriers,
    /// Hours of the day.
    Hours,
    /// Makers of aircraft.
    Manufacturers,
}

impl Keys {
    /// The column of the view that has them.
    pub fn column(self) -> &'static str {
        match self {
            Keys::Origins => "origin",
            Keys::Destinations => "dest",
            Keys::Airports => "airport",
            Keys::Carriers => "carrier",
            Keys::Hours => "hour",
            Keys::Manufacturers => "manufacturer",
        }
    }

    /// All keys of the set.
    pub fn all(self, data: &Data) -> Vec<Value> {
        let codes = |code: fn(&super::data::Flight) -> Code| -> BTreeSet<String> {
            let codes: HashSet<Code> = data.flights.iter().map(code).collect();
            codes.iter().map(|code| code.as_str().to_owned()).collect()
        };
        let names = match self {
            Keys::Origins => codes(|flight| flight.origin),
            Keys::Destinations => codes(|flight| flight.dest),
            Keys::Airports => &codes(|flight| flight.origin) | &codes(|flight| flight.dest),
            Keys::Carriers => codes(|flight| flight.carrier),
            Keys::Manufacturers => data.planes.iter().map(|plane| plane.manufacturer.clone()).collect(),
            Keys::Hours => return (0..24).map(Value::Int).collect(),
        };
        names.into_iter().map(Value::Text).collect()
    }
}

/// Every view of the plan with its query.
pub fn questions() -> Vec<Question> {
    vec![
        Question {
            view: "departures",
            title: "the last departures of each airport",
            keys: Keys::Origins,
            sql: format!(
                "SELECT origin, departed, id, carrier || ' ' || number, upper(coalesce(airport, dest)), dep_delay
                 FROM (SELECT *, row_number() OVER (PARTITION BY origin ORDER BY departed DESC, id) AS place
                       FROM flights WHERE departed IS NOT NULL)
                 LEFT JOIN airports ON dest = faa
                 WHERE place <= {BOARD_ROWS} ORDER BY origin, departed DESC, id"
            ),
        },
        Question {
            view: "punctuality",
            title: "how late each carrier arrives",
            keys: Keys::Carriers,
            sql: format!(
                "SELECT carrier, airline, count(*), count(arr_delay), sum(arr_delay),
                        CAST(sum(arr_delay) AS REAL) / count(arr_delay), sum(coalesce(arr_delay > {LATE_MINUTES}, 0)),
                        min(arr_delay), max(arr_delay)
                 FROM flights JOIN airlines ON carrier = code WHERE arrived IS NOT NULL GROUP BY carrier, airline
                 ORDER BY carrier"
            ),
        },
        Question {
            view: "routes",
            title: "where one can go, worst delays first",
            keys: Keys::Origins,
            sql: "SELECT origin, dest, count(*), count(DISTINCT carrier),
                         CAST(sum(arr_delay) AS REAL) / count(arr_delay) AS delay_mean, min(air_time), max(air_time)
                  FROM flights GROUP BY origin, dest ORDER BY origin, delay_mean DESC NULLS FIRST, dest"
                .to_owned(),
        },
        Question {
            view: "busiest_aircraft",
            title: "the busiest aircraft of each carrier",
            keys: Keys::Carriers,
            sql: format!(
                "SELECT carrier, tailnum, flights, miles, coalesce(manufacturer, 'not registered'), model, built
                 FROM (SELECT *, row_number() OVER (PARTITION BY carrier ORDER BY flights DESC, tailnum) AS place
                       FROM (SELECT carrier, tailnum, count(*) AS flights, sum(distance) AS miles FROM flights
                             WHERE departed IS NOT NULL AND tailnum IS NOT NULL GROUP BY carrier, tailnum))
                 LEFT JOIN planes ON tailnum = registration
                 WHERE place <= {BUSIEST_ROWS} ORDER BY carrier, flights DESC, tailnum"
            ),
        },
        Question {
            view: "destinations",
            title: "the places each airport serves",
            keys: Keys::Origins,
            sql: "SELECT origin, count(*), group_concat(dest, ' ' ORDER BY dest)
                  FROM (SELECT DISTINCT origin, dest FROM flights) GROUP BY origin ORDER BY origin"
                .to_owned(),
        },
        Question {
            view: "traffic",
            title: "movements of each airport, day by day",
            keys: Keys::Airports,
            sql: format!(
                "SELECT airport, day, sum(departure), sum(1 - departure), count(*)
                 FROM (SELECT origin AS airport, departed / {DAY_MICROS} AS day, 1 AS departure FROM flights
                       WHERE departed IS NOT NULL
                       UNION ALL
                       SELECT dest, arrived / {DAY_MICROS}, 0 FROM flights WHERE arrived IS NOT NULL)
                 GROUP BY airport, day ORDER BY airport, day"
            ),
        },
        Question {
            view: "delays_by_hour",
            title: "how delays are spread over the day",
            keys: Keys::Hours,
            sql: format!(
                "SELECT hour, how, count(*), CAST(sum(dep_delay) AS REAL) / count(dep_delay), max(dep_delay)
                 FROM (SELECT scheduled / {HOUR_MICROS} % 24 AS hour, dep_delay,
                              CASE WHEN dep_delay <= 0 THEN 'on time'
                                   WHEN dep_delay <= {LATE_MINUTES} THEN 'a little late'
                                   WHEN dep_delay <= 60 THEN 'late' ELSE 'very late' END AS how
                       FROM flights WHERE departed IS NOT NULL)
                 GROUP BY hour, how ORDER BY hour, how"
            ),
        },
        Question {
            view: "unlisted_airports",
            title: "destinations with no known name",
            keys: Keys::Destinations,
            sql: "SELECT dest, count(*), min(scheduled), max(scheduled)
                  FROM flights LEFT JOIN airports ON dest = faa WHERE airport IS NULL GROUP BY dest ORDER BY dest"
                .to_owned(),
        },
        Question {
            view: "in_the_air",
            title: "flights that left and have not arrived",
            keys: Keys::Destinations,
            sql: format!(
                "SELECT dest, departed, id, origin, dep_delay > {LATE_MINUTES} FROM flights
                 WHERE departed IS NOT NULL AND arrived IS NULL ORDER BY dest, departed, id"
            ),
        },
        Question {
            view: "speed",
            title: "how fast each maker's aircraft fly",
            keys: Keys::Manufacturers,
            sql: "SELECT manufacturer, count(*), count(DISTINCT tailnum), exact_sum(hours), exact_mean(mph), max(mph)
                  FROM (SELECT manufacturer, tailnum, air_time / 60.0 AS hours,
                               CAST(distance AS REAL) / (air_time / 60.0) AS mph
                        FROM flights JOIN planes ON tailnum = registration
                        WHERE arrived IS NOT NULL AND air_time IS NOT NULL)
                  GROUP BY manufacturer ORDER BY manufacturer"
                .to_owned(),
        },
        Question {
            view: "airlines_at",
            title: "the carriers that fly to each place",
            keys: Keys::Destinations,
            sql: "SELECT dest, count(*), group_concat(airline, '; ' ORDER BY airline)
                  FROM (SELECT DISTINCT dest, carrier FROM flights WHERE departed IS NOT NULL)
                  JOIN airlines ON carrier = code GROUP BY dest ORDER BY dest"
                .to_owned(),
        },
    ]
}

const HOUR_MICROS: i64 = 3_600_000_000;
const DAY_MICROS: i64 = 24 * HOUR_MICROS;
