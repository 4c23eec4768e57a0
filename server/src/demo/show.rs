//! What the demo shows while it runs: a bar with the rate and the date of the flights, and a line for every kill.
//!
//! On a terminal the bar stays at the bottom; elsewhere (a file, a pipe) there is no bar but a line now and then, so
//! that a log of the run tells the same story.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::data::{DAY_MINUTES, Minute};

/// How often a line takes the place of the bar.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Over how long the rate is taken.
const RATE_OVER: Duration = Duration::from_secs(1);

/// The screen.
pub struct Show {
    bar: ProgressBar,
    terminal: bool,
    rows: u64,
    rate: f64,
    rate_since: (Instant, u64),
    line_at: Instant,
}

impl Show {
    /// A screen for a run of so many rows.
    pub fn new(rows: u64) -> Show {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{bar:32} {human_pos} of {human_len} rows  {msg}")
            .expect("the template is valid");
        let bar = ProgressBar::with_draw_target(Some(rows), target).with_style(style);
        let now = Instant::now();
        Show { bar, terminal, rows, rate: 0.0, rate_since: (now, 0), line_at: now }
    }

    /// A line that stays.
    pub fn line(&self, text: impl AsRef<str>) {
        if self.terminal {
            self.bar.println(text);
        } else {
            println!("{}", text.as_ref());
        }
    }

    /// So many rows are acknowledged; the newest of them happened at `at`.
    pub fn progress(&mut self, acknowledged: u64, at: Minute) {
        let now = Instant::now();
        let (since, before) = self.rate_since;
        let elapsed = now - since;
        if elapsed >= RATE_OVER {
            self.rate = (acknowledged - before) as f64 / elapsed.as_secs_f64();
            self.rate_since = (now, acknowledged);
        }
        let state = format!("{:.0} rows/s  {}", self.rate, date(at));
        self.bar.set_position(acknowledged);
        if !self.terminal && now - self.line_at >= LINE_EVERY {
            self.line_at = now;
            println!("{acknowledged} of {} rows  {state}", self.rows);
        }
        self.bar.set_message(state);
    }

    /// The run is over; lines go to the screen as they are from here on.
    pub fn finish(&mut self) {
        self.bar.finish_and_clear();
        self.terminal = false;
    }
}

/// The day of 2013 as people write it.
fn date(at: Minute) -> String {
    const MONTHS: [(&str, i32); 12] = [
        ("Jan", 31),
        ("Feb", 28),
        ("Mar", 31),
        ("Apr", 30),
        ("May", 31),
        ("Jun", 30),
        ("Jul", 31),
        ("Aug", 31),
        ("Sep", 30),
        ("Oct", 31),
        ("Nov", 30),
        ("Dec", 31),
    ];
    /// The first of January 2013, in days since 1970.
    const YEAR_START: i32 = 15_706;
    let mut day = at.0.div_euclid(DAY_MINUTES) - YEAR_START;
    for (month, days) in MONTHS {
        if day < days {
            // The schedule of the first flights is known on the last day of the year before.
            return format!("{month} {:>2}", (day + 1).max(1));
        }
        day -= days;
    }
    "Dec 31".to_owned()
}

/// A table in plain characters: columns as wide as their widest cell, numbers to the right.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let number = |cell: &str| cell.starts_with(|c: char| c.is_ascii_digit());
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| match number(cell) {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let header: Vec<String> = header.iter().map(|cell| (*cell).to_owned()).collect();
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let lines = [line(&header), line(&rule)].into_iter().chain(rows.iter().map(|row| line(row)));
    lines.collect::<Vec<_>>().join("\n")
}

/// A number with a comma after every third digit.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_of_the_year() {
        let at = |day: i32| date(Minute((15_706 + day) * DAY_MINUTES + 600));
        assert_eq!(at(0), "Jan  1");
        assert_eq!(at(-1), "Jan  1");
        assert_eq!(at(31), "Feb  1");
        assert_eq!(at(58), "Feb 28");
        assert_eq!(at(59), "Mar  1");
        assert_eq!(at(364), "Dec 31");
        assert_eq!(at(365), "Dec 31");
    }

    #[test]
    fn tables_are_aligned() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), "100".to_owned()]];
        assert_eq!(table(&["name", "n"], &rows), "name  n\n----  ---\na       1\nlong  100");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(1_001_615), "1,001,615");
    }
}
