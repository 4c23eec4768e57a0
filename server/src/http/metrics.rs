//! The control page as Prometheus reads it (text exposition format 0.0.4).
//!
//! Counters begin again when a shard's process does, as those of any process; `sakia_shard_starts_total` tells when.

use std::fmt::Write;

use runtime::live::control::{ControlPage, Phase, ShardWord};

/// A figure of each shard: its name, `counter` or `gauge`, what it means, and its word.
const FIGURES: [(&str, &str, &str, ShardWord); 14] = [
    ("sakia_shard_starts_total", "counter", "Processes that the shard has had.", ShardWord::Incarnation),
    ("sakia_shard_label", "gauge", "Input messages consumed since the beginning.", ShardWord::Label),
    ("sakia_shard_durable_record", "gauge", "Number of the newest durable log record.", ShardWord::Durable),
    ("sakia_shard_rows_written_total", "counter", "Rows written by clients.", ShardWord::RowsWritten),
    ("sakia_shard_lookups_total", "counter", "Keys looked up.", ShardWord::Lookups),
    ("sakia_shard_messages_sent_total", "counter", "Messages to other shards.", ShardWord::MessagesSent),
    ("sakia_shard_deltas_sent_total", "counter", "Deltas in these messages.", ShardWord::DeltasSent),
    ("sakia_shard_clock_bytes_total", "counter", "Bytes of their clocks.", ShardWord::ClockBytes),
    (
        "sakia_shard_messages_received_total",
        "counter",
        "Messages consumed of other shards.",
        ShardWord::MessagesReceived,
    ),
    ("sakia_shard_steps_total", "counter", "Steps taken.", ShardWord::Steps),
    ("sakia_shard_log_bytes_total", "counter", "Bytes written to the log.", ShardWord::LogBytes),
    ("sakia_shard_log_flushes_total", "counter", "Flushes of the log.", ShardWord::LogFlushes),
    (
        "sakia_shard_memory_bytes",
        "gauge",
        "Estimate of the memory of tables, operators and views.",
        ShardWord::MemoryBytes,
    ),
    (
        "sakia_shard_log_full",
        "gauge",
        "1 while writes are refused for want of disk room.",
        ShardWord::LogFull,
    ),
];

/// All figures.
pub fn render(page: &ControlPage) -> String {
    let mut out = String::new();
    head(&mut out, "sakia_shard_up", "gauge", "1 while the shard serves.");
    for shard in page.shard_ids() {
        let up = u8::from(page.phase(shard) == Phase::Running);
        line(&mut out, "sakia_shard_up", shard.0, up.into());
    }
    for (name, kind, help, word) in FIGURES {
        head(&mut out, name, kind, help);
        for shard in page.shard_ids() {
            line(&mut out, name, shard.0, page.get(shard, word));
        }
    }
    out
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a string takes everything");
}

fn line(out: &mut String, name: &str, shard: u16, value: u64) {
    writeln!(out, "{name}{{shard=\"{shard}\"}} {value}").expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_has_every_figure() {
        let folder = tempfile::tempdir().expect("a folder");
        let page = ControlPage::create(&folder.path().join("control"), 2, 1).expect("a page");
        page.set(runtime::ShardId(1), ShardWord::Lookups, 42);
        page.set_phase(runtime::ShardId(1), Phase::Running);
        let text = render(&page);
        assert!(text.contains("sakia_shard_lookups_total{shard=\"0\"} 0\n"), "{text}");
        assert!(text.contains("sakia_shard_lookups_total{shard=\"1\"} 42\n"), "{text}");
        assert!(text.contains("sakia_shard_up{shard=\"0\"} 0\nsakia_shard_up{shard=\"1\"} 1\n"), "{text}");
        assert_eq!(text.lines().count(), 15 * (2 + 2));
    }
}
