//! The year as a stream of events: each flight is known some hours ahead, leaves, arrives, or is struck off.
//!
//! Events are in the order in which they happened on New York's clock. Per flight that is always schedule, departure,
//! arrival or schedule, cancellation, so a stream that is cut anywhere leaves tables that could have been.
//!
//! Writes are batches of one kind, while neighbouring events are of all kinds. So the stream is cut into chunks of
//! some hundred events, and inside a chunk the events are grouped: all new flights, then all departures, then all arrivals,
//! then all cancellations. A flight's own events keep their order by this, and none has two in one batch, since a statement
//! must not change a row twice.

use std::ops::Range;

use super::data::{Flight, Minute};

/// How long before its scheduled time a flight appears. Longer than the earliest departure, 43 minutes ahead of time.
const KNOWN_AHEAD_MINUTES: i32 = 12 * 60;

/// What happens to a flight, in the order in which it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It is on the schedule: the row is inserted.
    Schedule,
    /// It has left: the row gets its departure.
    Depart,
    /// It has arrived: the row gets its arrival.
    Arrive,
    /// It will not take place: the row is deleted.
    Cancel,
    /// The year is over: the row is inserted as it was in the end.
    Entire,
}

/// How rows are written, as far as the timeline is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Write {
    /// New rows.
    Insert,
    /// Rows that replace those of the same key.
    Upsert,
    /// Keys of rows that go.
    Delete,
}

impl Change {
    /// How the change is written.
    pub fn write(self) -> Write {
        match self {
            Change::Schedule | Change::Entire => Write::Insert,
            Change::Depart | Change::Arrive => Write::Upsert,
            Change::Cancel => Write::Delete,
        }
    }
}

/// One change of one flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// When, on New York's clock. The first field, so that events sort by it.
    pub at: Minute,
    /// What; second, so that changes of one flight in one minute would be in order.
    pub change: Change,
    /// Which flight, as an index into the flights that the timeline was made from.
    pub flight: u32,
}

/// All events of the year, ready to be written: in order of time from chunk to chunk, grouped by kind within one.
pub struct Timeline {
    events: Vec<Event>,
    chunk_events: usize,
}

impl Timeline {
    /// The events of `flights`, in chunks of `chunk_events`.
    pub fn new(flights: &[Flight], chunk_events: usize) -> Timeline {
        assert!(chunk_events > 0);
        let mut events: Vec<Event> = Vec::with_capacity(3 * flights.len());
        for (index, flight) in flights.iter().enumerate() {
            let index = u32::try_from(index).expect("a year has fewer than 2^32 flights");
            events.extend(events_of(flight).into_iter().flatten().map(|(at, change)| Event {
                at,
                change,
                flight: index,
            }));
        }
        events.sort_unstable();
        for chunk in events.chunks_mut(chunk_events) {
            chunk.sort_by_key(|event| event.change);
        }
        Timeline { events, chunk_events }
    }

    /// All `flights` as they were in the end, in one chunk.
    pub fn at_once(flights: &[Flight]) -> Timeline {
        let event = |(flight, index): (&Flight, u32)| Event {
            at: flight.scheduled,
            change: Change::Entire,
            flight: index,
        };
        Timeline { events: flights.iter().zip(0..).map(event).collect(), chunk_events: flights.len() }
    }

    /// Every event, in the order in which it is written.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The writes: runs of changes of one kind, never longer than a chunk, one after the other and without gaps.
    pub fn writes(&self) -> impl Iterator<Item = (Write, Range<usize>)> + '_ {
        let mut start = 0;
        std::iter::from_fn(move || {
            let change = self.events.get(start)?.change;
            let chunk_end = (start / self.chunk_events + 1) * self.chunk_events;
            let chunk = &self.events[start..chunk_end.min(self.events.len())];
            let run = chunk.iter().take_while(|event| event.change == change).count();
            let range = start..start + run;
            start = range.end;
            Some((change.write(), range))
        })
    }
}

/// What happens to one flight and when.
fn events_of(flight: &Flight) -> [Option<(Minute, Change)>; 3] {
    let schedule = Some((flight.scheduled.plus(-KNOWN_AHEAD_MINUTES), Change::Schedule));
    match (flight.departure, flight.arrival) {
        (Some(departure), arrival) => {
            let arrival = arrival.map(|arrival| (arrival.at, Change::Arrive));
            [schedule, Some((departure.at, Change::Depart)), arrival]
        }
        (None, _) => [schedule, Some((flight.scheduled, Change::Cancel)), None],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::demo::data::Data;

    fn timeline(flights_max: usize, chunk_events: usize) -> (Data, Timeline) {
        let data = Data::load(flights_max).expect("the embedded files are sound");
        let timeline = Timeline::new(&data.flights, chunk_events);
        (data, timeline)
    }

    #[test]
    fn the_year_is_a_million_events_in_order() {
        let (data, timeline) = timeline(usize::MAX, 1);
        assert_eq!(timeline.events().len(), 336_776 + 328_521 + 328_063 + 8_255);
        assert!(timeline.events().is_sorted());
        assert_eq!(data.flights.len(), 336_776);
    }

    #[test]
    fn a_flights_events_are_in_order_whatever_the_chunk() {
        for chunk_events in [1, 7, 500, 1 << 30] {
            let (data, timeline) = timeline(20_000, chunk_events);
            let mut seen: HashMap<u32, Vec<Change>> = HashMap::new();
            for event in timeline.events() {
                seen.entry(event.flight).or_default().push(event.change);
            }
            assert_eq!(seen.len(), data.flights.len());
            for (index, changes) in seen {
                let flight = &data.flights[index as usize];
                let expected: &[Change] = match (flight.departure, flight.arrival) {
                    (None, _) => &[Change::Schedule, Change::Cancel],
                    (Some(_), None) => &[Change::Schedule, Change::Depart],
                    (Some(_), Some(_)) => &[Change::Schedule, Change::Depart, Change::Arrive],
                };
                assert_eq!(changes, expected, "{flight:?}");
            }
        }
    }

    #[test]
    fn writes_cover_every_event_once_and_are_of_one_kind() {
        let (_, timeline) = timeline(5_000, 300);
        let mut end = 0;
        for (write, range) in timeline.writes() {
            assert_eq!(range.start, end);
            assert!(!range.is_empty());
            assert!(range.len() <= 300);
            assert_eq!(range.start / 300, (range.end - 1) / 300);
            assert!(timeline.events()[range.clone()].iter().all(|event| event.change.write() == write));
            let flights: HashSet<u32> =
                timeline.events()[range.clone()].iter().map(|event| event.flight).collect();
            assert_eq!(flights.len(), range.len());
            end = range.end;
        }
        assert_eq!(end, timeline.events().len());
    }
}
