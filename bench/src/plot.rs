//! The two plots of a run: latency by percentile, and the course of throughput and tail latency with the kills marked.

use crate::latencies::Latencies;
use crate::svg::{Anchor, Axis, Drawing, decade_above, round_ticks};
use crate::timeline::{SLICE_NS, Slice};

const WIDTH: f64 = 900.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = WIDTH - 30.0;
const INK: &str = "#333333";
const GRID: &str = "#dddddd";
const KILL: &str = "#d62728";
/// One colour per curve, in order.
const COLOURS: [&str; 7] = ["#7f7f7f", "#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b", "#17becf"];
/// Marked percentiles; the axis is logarithmic in the distance to 100 %.
const PERCENTILES: [f64; 7] = [0.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999];
/// Latencies below a microsecond are not told apart.
const LATENCY_US_MIN: f64 = 1.0;

/// A kill on a timeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Seconds since the start of the timeline.
    pub at_seconds: f64,
    /// What was killed with what.
    pub label: String,
}

/// Latency by percentile of several histograms; those without operations are left out.
pub fn latency_by_percentile(title: &str, curves: &[(&str, &Latencies)]) -> String {
    let (top, bottom) = (60.0, 440.0);
    let mut drawing = Drawing::new(WIDTH, 500.0);
    let curves: Vec<_> = curves.iter().filter(|(_, latencies)| latencies.count() > 0).collect();
    let worst = curves.iter().map(|(_, latencies)| latencies.percentiles().max).fold(10.0, f64::max);
    let most = curves.iter().map(|(_, latencies)| latencies.count()).max().unwrap_or(1);
    let distance = |quantile: f64| 1.0 / (1.0 - quantile).max(0.5 / most as f64);
    let x = Axis::logarithmic(1.0, distance(1.0).max(100.0), LEFT, RIGHT);
    let y = Axis::logarithmic(LATENCY_US_MIN, decade_above(worst, 10.0), bottom, top);

    drawing.text((LEFT, 30.0), Anchor::Start, INK, 16.0, title);
    latency_grid(&mut drawing, &y, worst);
    for percentile in PERCENTILES {
        let at = distance(percentile / 100.0);
        if percentile > 90.0 && at >= distance(1.0) {
            break;
        }
        drawing.line((x.pixel(at), top), (x.pixel(at), bottom), GRID, 1.0);
        drawing.text((x.pixel(at), bottom + 20.0), Anchor::Middle, INK, 12.0, &format!("{percentile} %"));
    }
    for (index, (name, latencies)) in curves.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let points =
            latencies.curve().into_iter().map(|(quantile, us)| (x.pixel(distance(quantile)), y.pixel(us)));
        drawing.path(points, colour);
        drawing.text((LEFT + 10.0, top + 20.0 + 18.0 * index as f64), Anchor::Start, colour, 13.0, name);
    }
    drawing.text(
        (f64::midpoint(LEFT, RIGHT), bottom + 45.0),
        Anchor::Middle,
        INK,
        12.0,
        "percentile of operations",
    );
    drawing.finish()
}

/// Throughput above, 99th percentile below, both over time, with the kills across both.
pub fn course(title: &str, slices: &[Slice], kills: &[Mark]) -> String {
    let (top, middle_low, middle_high, bottom) = (60.0, 240.0, 280.0, 460.0);
    let mut drawing = Drawing::new(WIDTH, 520.0);
    let slice_seconds = SLICE_NS as f64 / 1e9;
    let seconds = (slices.len() as f64 * slice_seconds).max(1.0);
    let x = Axis::linear(0.0, seconds, LEFT, RIGHT);
    let rate = |slice: &Slice| slice.operations as f64 / slice_seconds;
    let fastest = slices.iter().map(rate).fold(1.0, f64::max);
    let worst = slices.iter().map(|slice| slice.p99_us).fold(10.0, f64::max);
    let ticks = round_ticks(fastest, 4);
    let y = Axis::linear(0.0, *ticks.last().expect("there are at least two ticks"), middle_low, top);
    let y_latency = Axis::logarithmic(LATENCY_US_MIN, decade_above(worst, 10.0), bottom, middle_high);

    drawing.text((LEFT, 30.0), Anchor::Start, INK, 16.0, title);
    for tick in ticks {
        drawing.line((LEFT, y.pixel(tick)), (RIGHT, y.pixel(tick)), GRID, 1.0);
        drawing.text((LEFT - 8.0, y.pixel(tick) + 4.0), Anchor::End, INK, 12.0, &rate_label(tick));
    }
    latency_grid(&mut drawing, &y_latency, worst);
    for tick in round_ticks(seconds, 8) {
        if tick <= seconds {
            drawing.text((x.pixel(tick), bottom + 20.0), Anchor::Middle, INK, 12.0, &format!("{tick} s"));
        }
    }
    for kill in kills {
        let at = x.pixel(kill.at_seconds);
        drawing.line((at, top - 5.0), (at, bottom), KILL, 0.8);
        if kills.len() <= 30 {
            drawing.text((at, top - 8.0), Anchor::Middle, KILL, 9.0, &kill.label);
        }
    }
    let centre = |index: usize| x.pixel((index as f64 + 0.5) * slice_seconds);
    drawing.path(slices.iter().enumerate().map(|(i, slice)| (centre(i), y.pixel(rate(slice)))), COLOURS[1]);
    let answered = slices.iter().enumerate().filter(|(_, slice)| slice.operations > 0);
    drawing.path(answered.map(|(i, slice)| (centre(i), y_latency.pixel(slice.p99_us))), COLOURS[2]);
    drawing.text((LEFT + 10.0, middle_low - 8.0), Anchor::Start, COLOURS[1], 13.0, "operations per second");
    drawing.text((LEFT + 10.0, middle_high + 15.0), Anchor::Start, COLOURS[2], 13.0, "p99 of each 100 ms");
    drawing.finish()
}

/// Lines and labels at every decade up to the one that holds `worst`.
fn latency_grid(drawing: &mut Drawing, y: &Axis, worst: f64) {
    let mut decade = LATENCY_US_MIN;
    while decade <= decade_above(worst, 10.0) {
        drawing.line((LEFT, y.pixel(decade)), (RIGHT, y.pixel(decade)), GRID, 1.0);
        drawing.text((LEFT - 8.0, y.pixel(decade) + 4.0), Anchor::End, INK, 12.0, &latency_label(decade));
        decade *= 10.0;
    }
}

fn latency_label(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{us:.0} \u{b5}s"),
        us if us < 1e6 => format!("{:.0} ms", us / 1e3),
        us => format!("{:.0} s", us / 1e6),
    }
}

fn rate_label(rate: f64) -> String {
    match rate {
        rate if rate < 1e4 => format!("{rate:.0}"),
        rate if rate < 1e6 => format!("{:.0} k", rate / 1e3),
        rate => format!("{:.1} M", rate / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svg::tests::check_well_formed;

    #[test]
    fn latency_plots_are_well_formed() {
        let mut reads = Latencies::new();
        (1..10_000).for_each(|us| reads.record(us * 1000, 1));
        let mut writes = Latencies::new();
        writes.record(3_600_000_000_000, 1);
        let none = Latencies::new();
        check_well_formed(&latency_by_percentile(
            "a & b",
            &[("reads", &reads), ("<none>", &none), ("w", &writes)],
        ));
        check_well_formed(&latency_by_percentile("nothing", &[]));
        let all = latency_by_percentile("two", &[("reads", &reads), ("writes", &writes)]);
        assert_eq!(all.matches("<polyline").count(), 2);
    }

    #[test]
    fn a_course_marks_every_kill() {
        let slices: Vec<Slice> =
            (0..50).map(|i| Slice { operations: 10_000 * (i % 7), p99_us: 100.0 * i as f64 }).collect();
        let kills: Vec<Mark> =
            (1..4).map(|at| Mark { at_seconds: f64::from(at), label: format!("0 <{at}>") }).collect();
        let text = course("a run", &slices, &kills);
        check_well_formed(&text);
        assert_eq!(text.matches("stroke=\"#d62728\"").count(), 3);
        assert_eq!(text.matches("<polyline").count(), 2);
        check_well_formed(&course("nothing", &[], &[]));
    }
}
