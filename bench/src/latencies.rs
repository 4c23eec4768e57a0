//! Latencies of many operations: an HDR histogram in nanoseconds, its percentiles and its standard text form.
//!
//! Three significant digits from 1 ns to an hour; what is longer counts as an hour. Recording costs a few nanoseconds
//! and never allocates. Figures that people read are in microseconds.

use std::fmt::Write;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longer than any run: a latency above it is recorded as it.
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;
/// Three digits: values are off by at most one in a thousand.
const SIGNIFICANT_DIGITS: u8 = 3;
/// Lines of the text form per halving of the distance to 100 %, as other tools print it.
const TICKS_PER_HALF: u32 = 5;

/// A histogram of latencies.
#[derive(Debug, Clone)]
pub struct Latencies {
    histogram: Histogram<u64>,
}

/// What reports show of a histogram, in microseconds. All zero when nothing was recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many operations.
    pub count: u64,
    /// Median.
    pub p50: f64,
    /// 99 of 100 are below.
    pub p99: f64,
    /// 999 of 1,000 are below.
    pub p999: f64,
    /// The worst.
    pub max: f64,
}

impl Latencies {
    /// An empty histogram.
    pub fn new() -> Latencies {
        let histogram = Histogram::new_with_bounds(1, LATENCY_NS_MAX, SIGNIFICANT_DIGITS)
            .expect("the bounds are constants that fit each other");
        Latencies { histogram }
    }

    /// Records `count` operations of the same latency.
    pub fn record(&mut self, latency_ns: u64, count: u64) {
        self.histogram.saturating_record_n(latency_ns, count);
    }

    /// Adds all that `other` has recorded.
    pub fn add(&mut self, other: &Latencies) {
        self.histogram.add(&other.histogram).expect("all histograms here have the same bounds");
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.histogram.reset();
    }

    /// How many operations were recorded.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The latency in microseconds that the share `quantile` of all operations does not exceed.
    pub fn quantile_us(&self, quantile: f64) -> f64 {
        microseconds(self.histogram.value_at_quantile(quantile))
    }

    /// The figures for a report.
    pub fn percentiles(&self) -> Percentiles {
        Percentiles {
            count: self.count(),
            p50: self.quantile_us(0.5),
            p99: self.quantile_us(0.99),
            p999: self.quantile_us(0.999),
            max: microseconds(self.histogram.max()),
        }
    }

    /// Points (quantile, microseconds) from the median to the maximum, for a plot.
    pub fn curve(&self) -> Vec<(f64, f64)> {
        self.histogram
            .iter_quantiles(TICKS_PER_HALF)
            .map(|step| (step.quantile_iterated_to(), microseconds(step.value_iterated_to())))
            .collect()
    }

    /// (nanoseconds, operations) of everything recorded, to hand it to another process.
    pub fn buckets(&self) -> Vec<(u64, u64)> {
        self.histogram
            .iter_recorded()
            .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
            .collect()
    }

    /// The percentile distribution in the text form (.hgrm) that HDR histogram tools read, in microseconds.
    pub fn to_hgrm(&self) -> String {
        let mut text = String::new();
        let _infallible = writeln!(
            text,
            "{:>12} {:>14} {:>10} {:>14}\n",
            "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
        );
        let mut total = 0;
        for step in self.histogram.iter_quantiles(TICKS_PER_HALF) {
            total += step.count_since_last_iteration();
            let value = microseconds(step.value_iterated_to());
            let quantile = step.quantile_iterated_to();
            let _infallible = write!(text, "{value:>12.3} {quantile:>14.12} {total:>10}");
            let _infallible = match quantile < 1.0 {
                true => writeln!(text, " {:>14.2}", 1.0 / (1.0 - quantile)),
                false => writeln!(text),
            };
        }
        let (mean, deviation) = (self.histogram.mean() / 1e3, self.histogram.stdev() / 1e3);
        let _infallible = writeln!(text, "#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]");
        let max = microseconds(self.histogram.max());
        let _infallible = writeln!(text, "#[Max     = {max:>12.3}, Total count    = {:>12}]", self.count());
        let sub_buckets = 2 * 10_u64.pow(u32::from(SIGNIFICANT_DIGITS));
        let _infallible = writeln!(
            text,
            "#[Buckets = {:>12}, SubBuckets     = {:>12}]",
            self.histogram.buckets(),
            sub_buckets.next_power_of_two()
        );
        text
    }
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies::new()
    }
}

fn microseconds(ns: u64) -> f64 {
    ns as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_microseconds_and_within_a_thousandth() {
        let mut latencies = Latencies::new();
        for us in 1..=10_000_u64 {
            latencies.record(us * 1000, 1);
        }
        let percentiles = latencies.percentiles();
        let near =
            |value: f64, expected: f64| assert!((value / expected - 1.0).abs() < 1e-3, "{value} {expected}");
        near(percentiles.p50, 5_000.0);
        near(percentiles.p99, 9_900.0);
        near(percentiles.p999, 9_990.0);
        near(percentiles.max, 10_000.0);
        assert_eq!(percentiles.count, 10_000);
    }

    #[test]
    fn counts_weigh_and_histograms_add() {
        let mut one = Latencies::new();
        one.record(1_000, 99);
        let mut other = Latencies::new();
        other.record(1_000_000, 1);
        other.record(u64::MAX, 0);
        one.add(&other);
        assert_eq!(one.count(), 100);
        assert!(one.percentiles().p50 < 1.01);
        assert!(one.percentiles().max > 999.0);
    }

    #[test]
    fn nothing_recorded_is_all_zero() {
        assert_eq!(Latencies::new().percentiles(), Percentiles::default());
    }

    #[test]
    fn longer_than_the_range_is_recorded_as_its_end() {
        let mut latencies = Latencies::new();
        latencies.record(u64::MAX, 1);
        assert_eq!(latencies.count(), 1);
        assert!(latencies.percentiles().max >= LATENCY_NS_MAX as f64 / 1e3);
    }

    #[test]
    fn the_text_form_has_its_columns_and_footer() {
        let mut latencies = Latencies::new();
        for us in 1..=1000_u64 {
            latencies.record(us * 1000, 3);
        }
        let text = latencies.to_hgrm();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "       Value     Percentile TotalCount 1/(1-Percentile)");
        assert_eq!(lines[1], "");
        let data: Vec<&&str> = lines[2..].iter().filter(|line| !line.starts_with('#')).collect();
        let mut last = (0.0, 0.0, 0_u64);
        for line in &data {
            let fields: Vec<f64> =
                line.split_whitespace().map(|field| field.parse().expect("a number")).collect();
            let now = (fields[0], fields[1], fields[2] as u64);
            assert!(now.0 >= last.0 && now.1 >= last.1 && now.2 >= last.2, "{line} goes back");
            last = now;
        }
        assert_eq!(last.2, 3000);
        assert_eq!(last.1, 1.0);
        assert_eq!(
            data.last().expect("lines").split_whitespace().count(),
            3,
            "the last has no fourth column"
        );
        assert!(text.contains("Total count    =         3000]"), "{text}");
    }
}
