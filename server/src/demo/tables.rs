//! The tables of the demo and the rows that are written to them, for the shards and for the oracle alike.
//!
//! Columns of different tables have different names, so that a join of any two needs no renaming.

use operators::value::Datum;

use super::data::{Airline, Airport, Code, Data, Flight, Plane};
use super::timeline::Change;

/// A table: its name, its primary key and its columns, the key first.
pub struct Table {
    /// The name.
    pub name: &'static str,
    /// The only column of the primary key, which is the first column.
    pub key: &'static str,
    columns: &'static [&'static str],
}

/// Flights, changed by every event of the timeline.
pub const FLIGHTS: Table = Table {
    name: "flights",
    key: "id",
    columns: &[
        "id",
        "carrier",
        "number",
        "tailnum",
        "origin",
        "dest",
        "scheduled",
        "departed",
        "dep_delay",
        "arrived",
        "arr_delay",
        "air_time",
        "distance",
    ],
};

/// Carriers and their names, written once.
pub const AIRLINES: Table = Table { name: "airlines", key: "code", columns: &["code", "airline"] };

/// Airports, written once.
pub const AIRPORTS: Table =
    Table { name: "airports", key: "faa", columns: &["faa", "airport", "lat", "lon", "altitude"] };

/// Aircraft, written once.
pub const PLANES: Table = Table {
    name: "planes",
    key: "registration",
    columns: &["registration", "built", "manufacturer", "model", "engines", "seats"],
};

/// Every table of the demo.
pub const ALL: [&Table; 4] = [&FLIGHTS, &AIRLINES, &AIRPORTS, &PLANES];

impl Table {
    /// The names of the columns.
    pub fn column_names(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().copied()
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
