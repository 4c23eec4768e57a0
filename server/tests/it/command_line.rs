//! Arguments, exit codes, and machines that lack something.

use std::process::{Command, Stdio};

use crate::process::{complained, printed, run};

#[test]
fn help_names_every_command_but_the_hidden_one() {
    let help = printed(&run(&["--help"]));
    for command in ["demo", "doctor", "bench", "sim"] {
        assert!(help.contains(command), "{help}");
    }
    assert!(!help.contains("\n  shard"), "{help}");
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    for line in
        [&["nonsense"][..], &["--shards", "0"], &["demo", "--pace", "fast"], &["doctor", "--nonsense"]]
    {
        let output = run(line);
        assert_eq!(output.status.code(), Some(2), "{line:?}");
        assert!(complained(&output).contains("--help"), "{line:?}: {}", complained(&output));
    }
}

#[test]
fn the_doctor_finds_this_machine_fit() {
    let folder = tempfile::tempdir_in(".").expect("a folder on a disk");
    let output = run(&["doctor", "--data", folder.path().to_str().expect("the path is text")]);
    let text = printed(&output);
    assert!(output.status.success(), "{text}");
    for check in ["kernel", "cores", "memlock", "io_uring", "/dev/shm", "data folder", "direct writes"] {
        assert!(text.contains(check), "{check} is missing:\n{text}");
    }
}

#[test]
fn the_doctor_says_what_is_wrong() {
    let output = run(&["doctor", "--data", "/proc/nowhere"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(printed(&output).contains("choose another folder"), "{}", printed(&output));
}

#[test]
fn without_lockable_memory_it_does_not_start_and_says_why() {
    let folder = tempfile::tempdir_in(".").expect("a folder on a disk");
    let output = Command::new("sh")
        .args(["-c", "ulimit -l 64 && exec \"$0\" --data \"$1\""])
        .arg(env!("CARGO_BIN_EXE_sakia"))
        .arg(folder.path().join("data"))
        .stdin(Stdio::null())
        .output()
        .expect("sh is there");
    assert_eq!(output.status.code(), Some(1));
    let text = complained(&output);
    assert!(text.contains("memlock") && text.contains("ulimit -l 8192"), "{text}");
    assert!(!folder.path().join("data").exists(), "it must not touch the data folder");
}
