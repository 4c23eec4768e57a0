//! Where a benchmark keeps its data while it runs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A folder for data. One that nobody asked for by name is removed at the end.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    remove: bool,
}

impl DataFolder {
    /// The folder asked for, or a fresh one below the current folder: unlike the system's folder for temporary files,
    /// that is likely to lie on a disk.
    pub fn new(asked: Option<&Path>) -> Result<DataFolder, Error> {
        let folder = match asked {
            Some(path) => DataFolder { path: path.to_owned(), remove: false },
            None => {
                let path = PathBuf::from(format!("sakia-bench-{}", std::process::id()));
                DataFolder { path, remove: true }
            }
        };
        fs::create_dir_all(&folder.path).map_err(Error::file("create the folder", &folder.path))?;
        Ok(folder)
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A fresh folder inside it; what a former run left under this name is removed.
    pub fn fresh(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.path.join(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::file("remove the folder", path)(error));
            }
            _ => {}
        }
        fs::create_dir_all(&path).map_err(Error::file("create the folder", &path))?;
        Ok(path)
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        if self.remove {
            // Nothing depends on it: what stays behind is only disk space, and its name says whose it is.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_was_asked_for_stays_and_subfolders_are_fresh() {
        let parent = std::env::temp_dir().join(format!("sakia-folder-test-{}", std::process::id()));
        let folder = DataFolder::new(Some(&parent)).expect("a folder");
        let fresh = folder.fresh("a").expect("a folder");
        fs::write(fresh.join("left"), "over").expect("a file");
        assert_eq!(folder.fresh("a").expect("a folder").read_dir().expect("a folder").count(), 0);
        drop(folder);
        assert!(parent.is_dir());
        fs::remove_dir_all(&parent).expect("it is ours");
    }
}
