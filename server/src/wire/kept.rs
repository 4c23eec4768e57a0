//! What a session keeps by names: as many as there may be, and as large together as they may be.

use std::collections::HashMap;

use sql::SqlError;

/// Things by their names, each with its size.
#[derive(Debug)]
pub struct Kept<T> {
    named: HashMap<String, (T, usize)>,
    /// Of all of them together.
    bytes: usize,
    limits: Limits,
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// What is kept, for messages.
    pub what: &'static str,
    /// How to get rid of some.
    pub hint: &'static str,
    /// How many.
    pub count_max: usize,
    /// How many bytes together.
    pub bytes_max: usize,
}

impl<T> Kept<T> {
    /// Nothing yet.
    pub fn new(limits: Limits) -> Kept<T> {
        Kept { named: HashMap::new(), bytes: 0, limits }
    }

    /// What has this name.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.named.get(name).map(|(kept, _)| kept)
    }

    /// Whether something has this name.
    pub fn contains(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    /// Refuses what there is no room for: something of this name, and of this size.
    ///
    /// # Errors
    ///
    /// 54000 if there are too many, 53200 if they are too large.
    pub fn check_room(&self, name: &str, bytes: usize) -> Result<(), SqlError> {
        let Limits { what, hint, count_max, bytes_max } = self.limits;
        let replaced = self.named.get(name).map(|(_, bytes)| *bytes);
        if replaced.is_none() && self.named.len() >= count_max {
            return Err(SqlError::new("54000", format!("a session has too many {what}"))
                .detail(format!("It keeps up to {count_max}."))
                .hint(hint));
        }
        if self.bytes - replaced.unwrap_or(0) + name.len() + bytes > bytes_max {
            return Err(SqlError::new("53200", format!("the {what} of the session are too large"))
                .detail(format!("Together they may have {} MiB.", bytes_max >> 20))
                .hint(hint));
        }
        Ok(())
    }

    /// Keeps something of this size, in the place of what had its name.
    ///
    /// # Errors
    ///
    /// As [`Kept::check_room`].
    pub fn insert(&mut self, name: &str, kept: T, bytes: usize) -> Result<(), SqlError> {
        self.check_room(name, bytes)?;
        self.remove(name);
        self.bytes += name.len() + bytes;
        self.named.insert(name.to_owned(), (kept, name.len() + bytes));
        Ok(())
    }

    /// Takes out what has this name.
    pub fn remove(&mut self, name: &str) -> Option<T> {
        let (kept, bytes) = self.named.remove(name)?;
        self.bytes -= bytes;
        Some(kept)
    }

    /// All of them with their names, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.named.iter().map(|(name, (kept, _))| (name.as_str(), kept))
    }

    /// Drops all of them.
    pub fn clear(&mut self) {
        self.named.clear();
        self.bytes = 0;
    }

    /// Drops all but those for whose names `stays` is true.
    pub fn retain(&mut self, stays: impl Fn(&str) -> bool) {
        self.named.retain(|name, _| stays(name));
        self.bytes = self.named.values().map(|(_, bytes)| bytes).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_and_as_large_as_there_may_be() {
        let limits = Limits { what: "things", hint: "Drop some.", count_max: 3, bytes_max: 100 };
        let mut kept = Kept::new(limits);
        for name in ["a", "b", "c"] {
            kept.insert(name, name.len(), 9).expect("there is room");
        }
        let code = |refused: Result<(), SqlError>| refused.expect_err("there is none").sqlstate;
        assert_eq!(code(kept.insert("d", 0, 1)), "54000");
        assert_eq!(code(kept.insert("c", 0, 90)), "53200");
        kept.insert("c", 0, 79).expect("in the place of the one before");
        assert_eq!(code(kept.check_room("b", 10)), "53200");
        assert_eq!(kept.remove("a"), Some(1));
        kept.insert("d", 0, 9).expect("there is room again");
        kept.retain(|name| name == "b");
        assert_eq!((kept.iter().count(), kept.bytes), (1, 10));
    }
}
