//! The demo on the first days of the year, at the level of processes: shards are killed with real signals.

use serde_json::Value;

use crate::process::{complained, printed, run};

/// Runs the demo with these options beside its own, and returns its figures.
fn demo(options: &[&str]) -> Value {
    let folder = tempfile::tempdir_in(".").expect("a folder on a disk");
    let json = folder.path().join("figures.json");
    let data = folder.path().join("data");
    let path = |path: &std::path::Path| path.to_str().expect("the path is text").to_owned();
    let (json, data) = (path(&json), path(&data));
    let arguments = [&["demo", "--shards", "2", "--json", &json, "--data", &data], options].concat();
    let output = run(&arguments);
    let report = printed(&output) + &complained(&output);
    assert!(output.status.success(), "{report}");
    let figures = std::fs::read_to_string(&json).expect("the figures were written");
    let figures: Value = serde_json::from_str(&figures).expect("the figures are JSON");
    assert_eq!(figures["passed"], true, "{report}");
    let views = figures["views"].as_array().expect("a list of views");
    assert!(views.len() >= 8, "{report}");
    for view in views {
        assert_eq!(view["differences"], 0, "{report}");
    }
    figures
}

#[test]
fn it_is_right_while_shards_are_killed() {
    let figures = demo(&["--flights", "25000", "--pace", "15000", "--kill-every", "0.5", "--seed", "11"]);
    assert!(figures["rows"].as_u64() > Some(70_000), "{figures}");
    let kills = figures["kills"].as_array().expect("a list of kills");
    assert!(kills.len() >= 3, "{figures}");
    for kill in kills {
        for time in ["detected_ms", "restarted_ms", "replayed_ms", "steered_ms", "caught_up_ms"] {
            assert!(kill[time].as_f64().is_some_and(|time| time >= 0.0), "{time} of {kill}");
        }
        assert!(kill["signal"].as_str().is_some_and(|signal| signal.starts_with("SIG")), "{kill}");
        assert!(kill["shard"].as_u64() < Some(2), "{kill}");
    }
}

#[test]
fn it_is_right_when_nobody_is_killed() {
    let figures = demo(&["--flights", "5000", "--pace", "max", "--no-kill"]);
    assert_eq!(figures["kills"].as_array().map(Vec::len), Some(0));
    assert!(figures["rows_per_s"].as_f64() > Some(1000.0), "{figures}");
}

#[test]
fn it_is_right_when_all_is_copied_at_once() {
    let figures = demo(&["--flights", "40000", "--copy", "--kill-every", "0.3"]);
    assert_eq!(figures["rows"].as_u64(), Some(40_000), "{figures}");
}

#[test]
fn it_does_not_touch_a_folder_in_use() {
    let folder = tempfile::tempdir_in(".").expect("a folder on a disk");
    std::fs::write(folder.path().join("mine"), "mine").expect("the folder is ours");
    let output = run(&["demo", "--data", folder.path().to_str().expect("the path is text")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complained(&output).contains("is not empty"), "{}", complained(&output));
    assert_eq!(std::fs::read_dir(folder.path()).expect("it is still there").count(), 1);
}
