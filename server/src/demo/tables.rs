//! The tables of the demo and the rows that are written to them, for the shards and for the oracle alike.
//!
//! Columns of different tables have different names, so that a join of any two needs no renaming.

use operators::plan::{Column, column};
use operators::row::{RowBuilder, Rows};
use operators::value::{Datum, Type};

use super::data::{Airline, Airport, Code, Data, Flight, Plane};
use super::timeline::Change;

/// A table: its name, its primary key and its columns, the key first.
pub struct Table {
    /// The name, in the plan and in SQL.
    pub name: &'static str,
    /// The only column of the primary key, which is the first column.
    pub key: &'static str,
    columns: &'static [(&'static str, Type, Nulls)],
}

/// Whether a column may be NULL.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nulls {
    No,
    Yes,
}
use Nulls::{No, Yes};

/// Flights, changed by every event of the timeline.
pub const FLIGHTS: Table = Table {
    name: "flights",
    key: "id",
    columns: &[
        ("id", Type::Int, No),
        ("carrier", Type::Text, No),
        ("number", Type::Int, No),
        ("tailnum", Type::Text, Yes),
        ("origin", Type::Text, No),
        ("dest", Type::Text, No),
        ("scheduled", Type::Timestamp, No),
        ("departed", Type::Timestamp, Yes),
        ("dep_delay", Type::Int, Yes),
        ("arrived", Type::Timestamp, Yes),
        ("arr_delay", Type::Int, Yes),
        ("air_time", Type::Int, Yes),
        ("distance", Type::Int, No),
    ],
};

/// Carriers and their names, written once.
pub const AIRLINES: Table = Table {
    name: "airlines",
    key: "code",
    columns: &[("code", Type::Text, No), ("airline", Type::Text, No)],
};

/// Airports, written once.
pub const AIRPORTS: Table = Table {
    name: "airports",
    key: "faa",
    columns: &[
        ("faa", Type::Text, No),
        ("airport", Type::Text, No),
        ("lat", Type::Float, No),
        ("lon", Type::Float, No),
        ("altitude", Type::Int, No),
    ],
};

/// Aircraft, written once.
pub const PLANES: Table = Table {
    name: "planes",
    key: "registration",
    columns: &[
        ("registration", Type::Text, No),
        ("built", Type::Int, Yes),
        ("manufacturer", Type::Text, No),
        ("model", Type::Text, No),
        ("engines", Type::Int, No),
        ("seats", Type::Int, No),
    ],
};

/// Every table of the demo.
pub const ALL: [&Table; 4] = [&FLIGHTS, &AIRLINES, &AIRPORTS, &PLANES];

impl Table {
    /// The columns as a plan takes them.
    pub fn columns(&self) -> Vec<Column> {
        let columns = self.columns.iter().map(|(name, ty, nulls)| match nulls {
            Nulls::No => column(*name, *ty),
            Nulls::Yes => column(*name, *ty).nullable(),
        });
        columns.collect()
    }

    /// The names of the columns.
    pub fn column_names(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().map(|(name, _, _)| *name)
    }
}

/// The row of a flight after `change`: a departure is known from [`Change::Depart`] on, an arrival from
/// [`Change::Arrive`] on. A deletion names the key alone.
pub fn flight_values(flight: &Flight, change: Change) -> Vec<Datum<'_>> {
    if change == Change::Cancel {
        return vec![Datum::Int(flight.id)];
    }
    let departure = flight.departure.filter(|_| change >= Change::Depart);
    let arrival = flight.arrival.filter(|_| change >= Change::Arrive);
    vec![
        Datum::Int(flight.id),
        text(&flight.carrier),
        Datum::Int(i64::from(flight.number)),
        flight.tailnum.as_ref().map_or(Datum::Null, text),
        text(&flight.origin),
        text(&flight.dest),
        Datum::Timestamp(flight.scheduled.micros()),
        departure.map_or(Datum::Null, |departure| Datum::Timestamp(departure.at.micros())),
        int(departure.map(|departure| departure.delay)),
        arrival.map_or(Datum::Null, |arrival| Datum::Timestamp(arrival.local.micros())),
        int(arrival.and_then(|arrival| arrival.delay)),
        int(arrival.and_then(|arrival| arrival.air_time)),
        Datum::Int(i64::from(flight.distance)),
    ]
}

/// The rows of the tables that are written once, in the columns' order.
pub fn constant_rows(data: &Data) -> [(&'static Table, Vec<Vec<Datum<'_>>>); 3] {
    [
        (&AIRLINES, data.airlines.iter().map(airline_values).collect()),
        (&AIRPORTS, data.airports.iter().map(airport_values).collect()),
        (&PLANES, data.planes.iter().map(plane_values).collect()),
    ]
}

/// Encodes rows for a write.
pub fn encode<'a>(rows: impl IntoIterator<Item = Vec<Datum<'a>>>, builder: &mut RowBuilder, into: &mut Rows) {
    into.clear();
    for row in rows {
        into.push_values(builder, &row);
    }
}

fn airline_values(airline: &Airline) -> Vec<Datum<'_>> {
    vec![text(&airline.carrier), Datum::Text(&airline.name)]
}

fn airport_values(airport: &Airport) -> Vec<Datum<'_>> {
    vec![
        text(&airport.faa),
        Datum::Text(&airport.name),
        Datum::Float(airport.lat),
        Datum::Float(airport.lon),
        Datum::Int(airport.altitude),
    ]
}

fn plane_values(plane: &Plane) -> Vec<Datum<'_>> {
    vec![
        text(&plane.tailnum),
        plane.year.map_or(Datum::Null, Datum::Int),
        Datum::Text(&plane.manufacturer),
        Datum::Text(&plane.model),
        Datum::Int(plane.engines),
        Datum::Int(plane.seats),
    ]
}

fn text(code: &Code) -> Datum<'_> {
    Datum::Text(code.as_str())
}

fn int(value: Option<i32>) -> Datum<'static> {
    value.map_or(Datum::Null, |value| Datum::Int(i64::from(value)))
}
