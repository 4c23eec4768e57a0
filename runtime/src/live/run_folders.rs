//! Run folders come and go: a new one for each supervisor, and those of supervisors that were killed are removed by
//! the next, whatever data folder it serves.
//!
//! A run folder holds a lock file that its supervisor keeps locked for as long as it lives, and it gets its name only
//! after that. So a folder whose lock can be had is nobody's; no name, no age and no process id is trusted. Folders of
//! other users, and folders without a lock file, are left alone.

use super::layout::{DataFolder, RunFolder, find_run_folder};
use super::supervisor::Lock;
use super::{machine_start, sys};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Makes a run folder, notes its path in the data folder, which must be locked, and removes folders that nobody has any
/// more. The folder is ours as long as the lock lives.
pub(crate) fn make(data: &DataFolder) -> io::Result<(RunFolder, Lock)> {
    let number = sys::random_u64()?;
    let parent = Path::new(RunFolder::PARENT);
    let aside = parent.join(format!(".{}{number:016x}", RunFolder::PREFIX));
    DirBuilder::new().mode(0o700).create(&aside)?;
    let lock = open_lock(&RunFolder(aside.clone()), true)?;
    assert!(sys::try_flock(&lock)?, "nobody knows of it");
    let run = RunFolder(parent.join(format!("{}{number:016x}", RunFolder::PREFIX)));
    fs::rename(&aside, &run.0)?;
    let me = fs::metadata(&run.0)?.uid();
    // Before the note is replaced: it may name a folder elsewhere.
    if let Ok(old) = find_run_folder(&data.0) {
        remove_if_left(&old, me);
    }
    for entry in fs::read_dir(parent)?.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(RunFolder::PREFIX.as_bytes()) {
            remove_if_left(&RunFolder(entry.path()), me);
        }
    }
    machine_start::replace_file(&data.run_path(), format!("{}\n", run.0.display()).as_bytes())?;
    Ok((run, Lock(lock)))
}

fn open_lock(run: &RunFolder, create: bool) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(create).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options.open(run.lock())
}

/// Removes a run folder of the user `me` that no supervisor has. What cannot be looked at or removed costs memory and
/// nothing else.
fn remove_if_left(run: &RunFolder, me: u32) {
    let ours = fs::symlink_metadata(&run.0).is_ok_and(|folder| folder.is_dir() && folder.uid() == me);
    let Some(lock) = ours.then(|| open_lock(run, false).ok()).flatten() else { return };
    if sys::try_flock(&lock).unwrap_or(false) {
        // The lock goes with the folder, so nobody can take it over meanwhile.
        let _ = fs::remove_dir_all(&run.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_has_is_removed() {
        let temporary = std::env::temp_dir().join(format!("sakia-run-folders-test-{}", std::process::id()));
        let data = |name: &str| {
            let data = DataFolder(temporary.join(name));
            fs::create_dir_all(&data.0).expect("creates");
            data
        };
        let (ours, other, third) = (data("a"), data("b"), data("c"));
        let (kept, _lock) = make(&ours).expect("makes");
        let (left, lock) = make(&other).expect("makes");
        let without_lock = RunFolder(left.0.with_extension("older"));
        fs::create_dir(&without_lock.0).expect("creates");
        drop(lock);
        let (newest, _lock) = make(&third).expect("makes");
        assert!(kept.0.exists() && newest.0.exists(), "their supervisors live");
        assert!(!left.0.exists(), "its supervisor is gone");
        assert!(without_lock.0.exists(), "nobody can know whose it is");
        assert_eq!(find_run_folder(&third.0).expect("is noted").0, newest.0);
        // A copy of a data folder names the folder of a server that runs.
        fs::copy(ours.run_path(), third.run_path()).expect("copies");
        let (again, _lock) = make(&third).expect("makes");
        assert!(kept.0.exists() && again.0.exists());
        for folder in [&kept.0, &newest.0, &again.0, &without_lock.0, &temporary] {
            // One of them may have been removed by another test's supervisor by now.
            let _ = fs::remove_dir_all(folder);
        }
    }
}
