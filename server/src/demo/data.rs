//! The data of the demo: every flight that left the three airports of New York in 2013, with the airlines, airports
//! and planes that they refer to, embedded in the binary so that the demo runs from any folder.
//!
//! Everything is read once and kept in fixed-size values: short codes in place of strings, minutes in place of the
//! file's local hhmm. Two clocks occur in the file, that of New York (departures) and that of the destination
//! (arrivals); both are kept as minutes since 1970 *on that clock*, and an arrival also as an instant on New York's
//! clock, which is what events are put in order by.

use std::collections::HashMap;
use std::io::Read;

use csv::StringRecord;

use crate::error::Error;

const FLIGHTS: &[u8] = include_bytes!("../../../bench/data/flights.csv.gz");
const AIRLINES: &[u8] = include_bytes!("../../../bench/data/airlines.csv");
const AIRPORTS: &[u8] = include_bytes!("../../../bench/data/airports.csv");
const PLANES: &[u8] = include_bytes!("../../../bench/data/planes.csv");

/// Minutes in a day.
pub const DAY_MINUTES: i32 = 24 * 60;
/// Hours that the clock of New York is behind UTC in winter.
const NEW_YORK_ZONE_HOURS: i32 = -5;
/// Destinations without a row in `airports.csv` are all in Puerto Rico and on the Virgin Islands, four hours behind UTC
/// all year.
const UNLISTED_ZONE: Zone = Zone { hours: -4, daylight_saving: false };
/// Daylight saving time of 2013 in the United States, first day to the day after the last one, as (month, day).
const SUMMER: std::ops::Range<(i32, i32)> = (3, 10)..(11, 3);

/// A short identifier (carrier, airport, tail number), stored inline so that a flight is a plain value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code {
    bytes: [u8; Code::LENGTH_MAX],
    length: u8,
}

impl Code {
    /// The longest code of the data is a tail number of six characters.
    const LENGTH_MAX: usize = 7;

    /// The code of `text`; `None` if it is longer than a code can be.
    pub fn new(text: &str) -> Option<Code> {
        let mut bytes = [0; Code::LENGTH_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Code { bytes, length: u8::try_from(text.len()).ok()? })
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).expect("a code is made from whole text")
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A point in time on some clock of the world, in minutes since the beginning of 1970 on that clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Minute(pub i32);

impl Minute {
    /// The same in microseconds, the unit of timestamps.
    pub fn micros(self) -> i64 {
        i64::from(self.0) * 60_000_000
    }

    /// This point in time and so many minutes.
    pub fn plus(self, minutes: i32) -> Minute {
        Minute(self.0 + minutes)
    }
}

/// When a flight left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// On New York's clock.
    pub at: Minute,
    /// Minutes after the scheduled time; negative if it left early.
    pub delay: i32,
}

/// When a flight came to the gate of its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// On the destination's clock.
    pub local: Minute,
    /// The same instant on New York's clock.
    pub at: Minute,
    /// Minutes after the scheduled time; not known for flights that were diverted on the way.
    pub delay: Option<i32>,
    /// Minutes in the air; not known for flights that were diverted on the way.
    pub air_time: Option<i32>,
}

/// One flight as it really took place, or did not.
#[derive(Clone, Copy, Debug)]
pub struct Flight {
    /// The primary key.
    pub id: i64,
    /// Two letters, see [`Data::airlines`].
    pub carrier: Code,
    /// The number beside the carrier's letters.
    pub number: i32,
    /// The registration of the aircraft; not known for some cancelled flights.
    pub tailnum: Option<Code>,
    /// One of the three airports of New York.
    pub origin: Code,
    /// The airport it was bound for.
    pub dest: Code,
    /// When it was to leave, on New York's clock.
    pub scheduled: Minute,
    /// `None`: cancelled.
    pub departure: Option<Departure>,
    /// `None`: cancelled, or not known to have arrived.
    pub arrival: Option<Arrival>,
    /// Miles.
    pub distance: i32,
}

/// A carrier and its name.
#[derive(Clone, Debug)]
pub struct Airline {
    /// The primary key.
    pub carrier: Code,
    /// The full name.
    pub name: String,
}

/// An airport.
#[derive(Clone, Debug)]
pub struct Airport {
    /// The primary key.
    pub faa: Code,
    /// The full name.
    pub name: String,
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lon: f64,
    /// Feet above the sea.
    pub altitude: i64,
    zone: Zone,
}

/// An aircraft.
#[derive(Clone, Debug)]
pub struct Plane {
    /// The primary key.
    pub tailnum: Code,
    /// The year it was built in.
    pub year: Option<i64>,
    /// Who built it.
    pub manufacturer: String,
    /// The maker's model.
    pub model: String,
    /// How many engines it has.
    pub engines: i64,
    /// How many seats it has.
    pub seats: i64,
}

/// How an airport's clock differs from UTC.
#[derive(Clone, Copy, Debug)]
struct Zone {
    hours: i32,
    daylight_saving: bool,
}

/// Everything the demo feeds to the shards.
pub struct Data {
    /// By scheduled time.
    pub flights: Vec<Flight>,
    /// All carriers of the flights.
    pub airlines: Vec<Airline>,
    /// Airports of the United States; not every destination is one.
    pub airports: Vec<Airport>,
    /// Aircraft that are registered; not every tail number is.
    pub planes: Vec<Plane>,
}

impl Data {
    /// Reads the embedded files, the first `flights_max` flights of the year. An error means that the binary was built
    /// from damaged files.
    pub fn load(flights_max: usize) -> Result<Data, Error> {
        let airports = read(AIRPORTS, "airports.csv", airport)?;
        let zones = airports.iter().map(|airport| (airport.faa, airport.zone)).collect();
        let file = flate2::read::GzDecoder::new(FLIGHTS);
        let mut flights = read(file, "flights.csv.gz", |row| flight(row, &zones))?;
        flights.sort_unstable_by_key(|flight| (flight.scheduled, flight.id));
        flights.truncate(flights_max);
        Ok(Data {
            flights,
            airlines: read(AIRLINES, "airlines.csv", airline)?,
            airports,
            planes: read(PLANES, "planes.csv", plane)?,
        })
    }
}

/// Reads the rows of a file with `parse`, which answers `None` for a row it cannot make sense of.
fn read<T>(
    source: impl Read,
    file: &'static str,
    parse: impl Fn(&StringRecord) -> Option<T>,
) -> Result<Vec<T>, Error> {
    let mut reader = csv::Reader::from_reader(source);
    let rows = reader.records().enumerate().map(|(index, record)| {
        // The header is line 1, and no field of these files contains a line break.
        let damaged = |what: String| Error::Data { file, line: index + 2, what };
        let record = record.map_err(|error| damaged(error.to_string()))?;
        parse(&record).ok_or_else(|| damaged(format!("not understood: {record:?}")))
    });
    rows.collect()
}

fn flight(row: &StringRecord, zones: &HashMap<Code, Zone>) -> Option<Flight> {
    let number = |column: usize| row.get(column)?.parse::<i32>().ok();
    let known = |column: usize| match row.get(column)? {
        "" => Some(None),
        text => text.parse::<i32>().ok().map(Some),
    };
    let (year, month, day) = (number(1)?, number(2)?, number(3)?);
    let dest = Code::new(row.get(14)?)?;
    let scheduled = Minute(day_of(year, month, day) * DAY_MINUTES + minute_of_day(number(5)?)?);
    let departure = match (known(4)?, known(6)?) {
        (Some(local), Some(delay)) => {
            let at = scheduled.plus(delay);
            if at.0.rem_euclid(DAY_MINUTES) != minute_of_day(local)? {
                return None;
            }
            Some(Departure { at, delay })
        }
        (None, None) => None,
        _ => return None,
    };
    let arrival = match (departure, known(7)?) {
        (Some(departure), Some(local)) => {
            let zone = zones.get(&dest).copied().unwrap_or(UNLISTED_ZONE);
            let summer = SUMMER.contains(&(month, day));
            let (local, at) = arrival_of(departure.at, minute_of_day(local)?, zone, summer);
            Some(Arrival { local, at, delay: known(9)?, air_time: known(15)? })
        }
        (None, Some(_)) => return None,
        (_, None) => None,
    };
    Some(Flight {
        id: i64::from(number(0)?),
        carrier: Code::new(row.get(10)?)?,
        number: number(11)?,
        tailnum: match row.get(12)? {
            "" => None,
            text => Some(Code::new(text)?),
        },
        origin: Code::new(row.get(13)?)?,
        dest,
        scheduled,
        departure,
        arrival,
        distance: number(16)?,
    })
}

fn airline(row: &StringRecord) -> Option<Airline> {
    Some(Airline { carrier: Code::new(row.get(0)?)?, name: row.get(1)?.to_owned() })
}

fn airport(row: &StringRecord) -> Option<Airport> {
    Some(Airport {
        faa: Code::new(row.get(0)?)?,
        name: row.get(1)?.to_owned(),
        lat: row.get(2)?.parse().ok()?,
        lon: row.get(3)?.parse().ok()?,
        altitude: row.get(4)?.parse().ok()?,
        // Some zones are not whole hours (Eucla, say), but no destination of ours lies there.
        zone: Zone { hours: row.get(5)?.parse::<f64>().ok()? as i32, daylight_saving: row.get(6)? == "A" },
    })
}

fn plane(row: &StringRecord) -> Option<Plane> {
    Some(Plane {
        tailnum: Code::new(row.get(0)?)?,
        year: match row.get(1)? {
            "NA" => None,
            text => Some(text.parse().ok()?),
        },
        manufacturer: row.get(3)?.to_owned(),
        model: row.get(4)?.to_owned(),
        engines: row.get(5)?.parse().ok()?,
        seats: row.get(6)?.parse().ok()?,
    })
}

/// Minutes after midnight of a local hhmm; midnight at the end of a day is written 2400 and is minute 0 of the next, so
/// the caller takes the day from elsewhere.
fn minute_of_day(hhmm: i32) -> Option<i32> {
    let (hour, minute) = (hhmm / 100, hhmm % 100);
    let valid = (0..60).contains(&minute) && (0..24).contains(&hour) || hhmm == 2400;
    valid.then_some((hour * 60 + minute) % DAY_MINUTES)
}

/// The day since 1970 of a date of the Gregorian calendar: whole years, counted from March so that the leap day comes
/// last, then the days of the months before, then the day.
fn day_of(year: i32, month: i32, day: i32) -> i32 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days_of_years = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days_of_months = (153 * month + 2) / 5;
    // 719,468 days lie between the first of March of the year 0 and the first of January 1970.
    days_of_years + days_of_months + day - 1 - 719_468
}

/// The arrival on the destination's clock and on New York's, from the departure on New York's clock and the minute of
/// the day at the destination. No flight takes a whole day and none overtakes the sun, so the arrival on the
/// destination's clock is the first such minute after the departure's.
fn arrival_of(departed: Minute, minute: i32, zone: Zone, summer: bool) -> (Minute, Minute) {
    let local = departed.plus((minute - departed.0).rem_euclid(DAY_MINUTES));
    let mut ahead_minutes = (zone.hours - NEW_YORK_ZONE_HOURS) * 60;
    if summer && !zone.daylight_saving {
        ahead_minutes -= 60;
    }
    (local, local.plus(-ahead_minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        assert_eq!(day_of(1970, 1, 1), 0);
        assert_eq!(day_of(1969, 12, 31), -1);
        assert_eq!(day_of(2000, 2, 29), 11_016);
        assert_eq!(day_of(2013, 1, 1), 15_706);
        assert_eq!(day_of(2013, 12, 31), 16_070);
    }

    #[test]
    fn clock_times_are_minutes_of_the_day() {
        assert_eq!(minute_of_day(517), Some(5 * 60 + 17));
        assert_eq!(minute_of_day(2400), Some(0));
        assert_eq!(minute_of_day(2401), None);
        assert_eq!(minute_of_day(1260), None);
        assert_eq!(minute_of_day(-1), None);
    }

    #[test]
    fn arrivals_cross_midnight_and_zones() {
        let noon = Minute(12 * 60);
        let zone = |hours, daylight_saving| Zone { hours, daylight_saving };
        // Two hours to Chicago, where it is an hour earlier.
        assert_eq!(arrival_of(noon, 13 * 60, zone(-6, true), false), (noon.plus(60), noon.plus(120)));
        // Honolulu is five hours behind in winter, six in summer.
        assert_eq!(arrival_of(noon, 17 * 60, zone(-10, false), false).1, noon.plus(10 * 60));
        assert_eq!(arrival_of(noon, 16 * 60, zone(-10, false), true).1, noon.plus(10 * 60));
        // Overnight to San Juan, an hour ahead in winter.
        let late = Minute(23 * 60);
        assert_eq!(arrival_of(late, 3 * 60, UNLISTED_ZONE, false), (late.plus(240), late.plus(180)));
    }

    #[test]
    fn codes_are_short_text() {
        let code = Code::new("N14228").expect("short enough");
        assert_eq!(code.as_str(), "N14228");
        assert!(Code::new("LONGTEXT").is_none());
        assert!(Code::new("").expect("short enough").as_str().is_empty());
    }

    #[test]
    fn the_embedded_files_are_whole() {
        let data = Data::load(usize::MAX).expect("the files are sound");
        assert_eq!(data.flights.len(), 336_776);
        assert_eq!(data.airlines.len(), 16);
        assert_eq!(data.airports.len(), 1_458);
        assert_eq!(data.planes.len(), 3_322);
        assert_eq!(data.flights.iter().filter(|flight| flight.departure.is_none()).count(), 8_255);
        assert_eq!(data.flights.iter().filter(|flight| flight.arrival.is_some()).count(), 328_063);
        for flight in &data.flights {
            let Some(arrival) = flight.arrival else { continue };
            let departed = flight.departure.expect("what arrived has left").at;
            // No aircraft is at the gate before it has flown: this is the check on zones and midnights.
            assert!(arrival.at.plus(-arrival.air_time.unwrap_or(1)) > departed, "{flight:?}");
            assert!(arrival.at < departed.plus(DAY_MINUTES), "{flight:?}");
        }
    }
}
