//! The settings of a session: SET, SHOW and RESET, and what a client is told of them at the start.
//!
//! A transaction that is undone takes back what was set in it. What SET LOCAL sets lies over the rest and is forgotten when the
//! transaction ends, however it does.

use std::rc::Rc;

use sql::SqlError;

/// The version that clients are told; drivers read the number in front.
pub const SERVER_VERSION: &str = concat!("15.0 (Sakia ", env!("CARGO_PKG_VERSION"), ")");
/// Most settings with a name of their own (with a point in it) that a session keeps.
const CUSTOM_COUNT_MAX: usize = 64;
/// Longest value.
const VALUE_BYTES_MAX: usize = 4096;
/// Names and values together. Each savepoint may keep as much.
const BYTES_MAX: usize = 64 << 10;

/// A setting that everybody has.
struct Known {
    name: &'static str,
    /// As it is when nobody has set it.
    value: &'static str,
    /// Whether clients are told of it, as PostgreSQL does.
    reported: bool,
    accept: Accept,
}

/// Which values are taken.
#[derive(Clone, Copy)]
enum Accept {
    /// It cannot be set.
    Never,
    /// Any; it has no effect here.
    Any,
    /// One of these, in any case.
    One(&'static [&'static str]),
    /// A time in milliseconds, or with a unit.
    Time,
    /// Anything, but the value stays; the text says why.
    Stays(&'static str),
}

const SWITCH: Accept = Accept::One(&["on", "off", "true", "false", "yes", "no", "1", "0"]);
const ISOLATION: Accept =
    Accept::One(&["read committed", "read uncommitted", "repeatable read", "serializable"]);

const fn known(name: &'static str, value: &'static str, accept: Accept) -> Known {
    Known { name, value, reported: false, accept }
}

const fn reported(name: &'static str, value: &'static str, accept: Accept) -> Known {
    Known { name, value, reported: true, accept }
}

/// In the order of SHOW ALL.
const KNOWN: &[Known] = &[
    reported("application_name", "", Accept::Any),
    known("backslash_quote", "safe_encoding", Accept::Any),
    known("bytea_output", "hex", Accept::One(&["hex"])),
    reported("client_encoding", "UTF8", Accept::One(&["utf8", "utf-8", "unicode", "sql_ascii"])),
    known("client_min_messages", "notice", Accept::Any),
    reported(
        "DateStyle",
        "ISO, MDY",
        Accept::One(&["iso", "iso, mdy", "iso, dmy", "iso, ymd", "iso,mdy", "mdy", "dmy", "ymd"]),
    ),
    known("default_transaction_isolation", "read committed", ISOLATION),
    reported("default_transaction_read_only", "off", SWITCH),
    known("extra_float_digits", "1", Accept::Any),
    known("idle_in_transaction_session_timeout", "0", Accept::Any),
    reported("in_hot_standby", "off", Accept::Never),
    reported("integer_datetimes", "on", Accept::Never),
    reported("IntervalStyle", "postgres", Accept::One(&["postgres"])),
    reported("is_superuser", "on", Accept::Never),
    known("jit", "off", Accept::Any),
    known("lc_collate", "C", Accept::Never),
    known("lc_ctype", "C", Accept::Never),
    known("lc_messages", "C", Accept::Any),
    known("lc_monetary", "C", Accept::Any),
    known("lc_numeric", "C", Accept::Any),
    known("lc_time", "C", Accept::Any),
    known("lock_timeout", "0", Accept::Time),
    known("max_identifier_length", "63", Accept::Never),
    known("role", "none", Accept::Any),
    known("row_security", "on", Accept::Any),
    known("sakia.clock", "", Accept::Any),
    known("sakia.consistency", "session", Accept::One(&["session", "eventual"])),
    known("search_path", "\"$user\", public", Accept::Any),
    reported("server_encoding", "UTF8", Accept::Never),
    reported("server_version", SERVER_VERSION, Accept::Never),
    known("server_version_num", "150000", Accept::Never),
    reported("session_authorization", "", Accept::Stays("a session stays that of the user who opened it")),
    reported("standard_conforming_strings", "on", Accept::One(&["on", "true", "1"])),
    known("statement_timeout", "0", Accept::Time),
    known("synchronous_commit", "on", Accept::Stays("every acknowledged write is durable")),
    reported("TimeZone", "UTC", Accept::Stays("times are shown in UTC")),
    known("transaction_isolation", "read committed", ISOLATION),
    known("transaction_read_only", "off", SWITCH),
    known("xmloption", "content", Accept::Any),
];

/// What became of a SET.
#[derive(Debug, PartialEq, Eq)]
pub enum Changed {
    /// The value was taken.
    Taken,
    /// It was not, and this is why; a warning, no error.
    Ignored(&'static str),
}

/// Names with values.
type Values = Rc<Vec<(String, String)>>;

/// The values that a session has set.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    set: Values,
    /// What holds until the transaction ends.
    local: Values,
    /// What was set when the transaction began, once it has set something.
    before: Option<Values>,
    /// What the client asked for when it connected.
    initial: Values,
    /// Whom the session is of.
    user: String,
    is_superuser: bool,
}

/// What was set at a time in a transaction.
#[derive(Debug, Clone)]
pub struct Mark {
    set: Values,
    local: Values,
}

/// For how long a value is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// For the rest of the session, by itself.
    Session,
    /// For the rest of the session, if the transaction is committed.
    Transaction,
    /// For the rest of the transaction.
    Local,
}

fn position(values: &Values, name: &str) -> Option<usize> {
    values.iter().position(|(set, _)| set.eq_ignore_ascii_case(name))
}

fn put(values: &mut Values, name: &str, value: String) {
    let place = position(values, name);
    let values = Rc::make_mut(values);
    match place {
        Some(place) => values[place].1 = value,
        None => values.push((name.to_owned(), value)),
    }
}

fn forget(values: &mut Values, name: &str) {
    if let Some(place) = position(values, name) {
        Rc::make_mut(values).remove(place);
    }
}

fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name.eq_ignore_ascii_case(name))
}

fn unknown(name: &str) -> SqlError {
    SqlError::new("42704", format!("unrecognized configuration parameter {name:?}"))
}

impl Settings {
    /// The value of a setting.
    ///
    /// # Errors
    ///
    /// 42704 if there is none of this name.
    pub fn get(&self, name: &str) -> Result<&str, SqlError> {
        for values in [&self.local, &self.set] {
            if let Some(place) = position(values, name) {
                return Ok(&values[place].1);
            }
        }
        find(name).map(|known| self.standard(known)).ok_or_else(|| unknown(name))
    }

    /// The session begins: to what is set now RESET goes back.
    pub fn begin_session(&mut self) {
        self.initial = self.set.clone();
    }

    /// Says whom the session is of.
    pub fn identify(&mut self, user: &str, is_superuser: bool) {
        user.clone_into(&mut self.user);
        self.is_superuser = is_superuser;
    }

    /// A setting as it is when nobody has set it.
    fn standard(&self, known: &Known) -> &str {
        match known.name {
            "session_authorization" => &self.user,
            "is_superuser" if !self.is_superuser => "off",
            _ => known.value,
        }
    }

    /// Sets a value; `default` means the one that it had at first.
    ///
    /// # Errors
    ///
    /// A name that is not known, a value that is not taken.
    pub fn set(&mut self, name: &str, value: &str, reach: Reach) -> Result<Changed, SqlError> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(SqlError::new("22023", format!("the value of {name:?} is too long")));
        }
        if value.eq_ignore_ascii_case("default") {
            self.reset(name, reach)?;
            return Ok(Changed::Taken);
        }
        let value = match find(name) {
            None if name.contains('.') => value.to_owned(),
            None => return Err(unknown(name)),
            Some(known) => match accepted(known, value)? {
                Ok(value) => value,
                Err(why) => return Ok(Changed::Ignored(why)),
            },
        };
        let all = || self.set.iter().chain(self.local.iter());
        let is_new = position(&self.set, name).is_none() && position(&self.local, name).is_none();
        let bytes: usize = all().map(|(name, value)| name.len() + value.len()).sum();
        if is_new && all().count() >= CUSTOM_COUNT_MAX + KNOWN.len() || bytes + value.len() > BYTES_MAX {
            return Err(SqlError::new("54000", "a session has too many settings").detail(format!(
                "It has up to {CUSTOM_COUNT_MAX} of its own, and {} KiB of them all.",
                BYTES_MAX >> 10
            )));
        }
        self.change(name, Some(value), reach);
        Ok(Changed::Taken)
    }

    fn change(&mut self, name: &str, value: Option<String>, reach: Reach) {
        if reach == Reach::Local {
            // What it had at first lies over what has been set since.
            let first = || position(&self.initial, name).map(|place| self.initial[place].1.clone());
            let standard = || find(name).map(|known| self.standard(known).to_owned());
            let value = value.or_else(first).or_else(standard).unwrap_or_default();
            return put(&mut self.local, name, value);
        }
        if reach == Reach::Transaction {
            self.before.get_or_insert_with(|| self.set.clone());
        }
        forget(&mut self.local, name);
        let first = || position(&self.initial, name).map(|place| self.initial[place].1.clone());
        match value.or_else(first) {
            Some(value) => put(&mut self.set, name, value),
            None => forget(&mut self.set, name),
        }
    }

    /// Gives a setting the value that it had at first.
    ///
    /// # Errors
    ///
    /// 42704 if there is none of this name.
    pub fn reset(&mut self, name: &str, reach: Reach) -> Result<(), SqlError> {
        if find(name).is_none() && !name.contains('.') {
            return Err(unknown(name));
        }
        self.change(name, None, reach);
        Ok(())
    }

    /// Gives all settings the values that they had at first.
    pub fn reset_all(&mut self, reach: Reach) {
        assert_ne!(reach, Reach::Local, "RESET is not local");
        if reach == Reach::Transaction {
            self.before.get_or_insert_with(|| self.set.clone());
        }
        self.local = Values::default();
        self.set = self.initial.clone();
    }

    /// What is set now, for a savepoint.
    pub fn mark(&self) -> Mark {
        Mark { set: self.set.clone(), local: self.local.clone() }
    }

    /// ROLLBACK TO a savepoint.
    pub fn return_to(&mut self, Mark { set, local }: Mark) {
        (self.set, self.local) = (set, local);
    }

    /// Whether the transaction has set anything.
    pub fn has_set(&self) -> bool {
        self.before.is_some() || !self.local.is_empty()
    }

    /// The transaction ends.
    pub fn end_transaction(&mut self, is_committed: bool) {
        self.local = Values::default();
        match self.before.take() {
            Some(before) if !is_committed => self.set = before,
            _ => {}
        }
    }

    /// All settings with their values.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        KNOWN.iter().map(|known| (known.name, self.get(known.name).unwrap_or_default()))
    }

    /// What clients are told at the start.
    pub fn reported(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let reported = KNOWN.iter().filter(|known| known.reported);
        reported.map(|known| (known.name, self.get(known.name).unwrap_or_default()))
    }

    /// The name under which clients are told of a setting, if they are.
    pub fn reported_name(name: &str) -> Option<&'static str> {
        KNOWN
            .iter()
            .find(|known| known.reported && known.name.eq_ignore_ascii_case(name))
            .map(|known| known.name)
    }
}

/// The value as it is kept, or why it is not.
fn accepted(known: &Known, value: &str) -> Result<Result<String, &'static str>, SqlError> {
    let name = known.name;
    let invalid = || SqlError::new("22023", format!("invalid value for parameter {name:?}: {value:?}"));
    match known.accept {
        Accept::Any => Ok(Ok(value.to_owned())),
        Accept::Never => Err(SqlError::new("55P02", format!("parameter {name:?} cannot be changed"))),
        Accept::Stays(_) if value.eq_ignore_ascii_case(known.value) => Ok(Ok(known.value.to_owned())),
        Accept::Stays(why) => Ok(Err(why)),
        Accept::One(allowed) => {
            // Some drivers send the value of a start-up parameter in the quotes that SET would have.
            let word = value.trim().trim_matches('\'').to_ascii_lowercase();
            if !allowed.contains(&word.as_str()) {
                return Err(invalid().hint(format!("It can be: {}.", allowed.join(", "))));
            }
            Ok(Ok(match name {
                "client_encoding" => "UTF8".to_owned(),
                "DateStyle" => known.value.to_owned(),
                _ => word,
            }))
        }
        Accept::Time => millis(value).map(|millis| Ok(millis.to_string())).ok_or_else(invalid),
    }
}

/// A time in milliseconds: a number with or without a unit.
pub fn millis(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_set_shown_and_reset() {
        let mut settings = Settings::default();
        let mut set = |name: &str, value: &str| settings.set(name, value, Reach::Session);
        assert_eq!(set("statement_timeout", "2 s"), Ok(Changed::Taken));
        assert_eq!(set("my.own", "x"), Ok(Changed::Taken));
        assert!(matches!(set("timezone", "Europe/Vienna"), Ok(Changed::Ignored(_))));
        assert_eq!(set("nonsense", "1").expect_err("unknown").sqlstate, "42704");
        assert_eq!(set("server_version", "1").expect_err("fixed").sqlstate, "55P02");
        assert!(set("client_encoding", "'utf-8'").is_ok());
        assert_eq!(set("client_encoding", "LATIN1").expect_err("refused").sqlstate, "22023");
        assert_eq!(settings.get("DATESTYLE"), Ok("ISO, MDY"));
        assert_eq!(settings.get("statement_timeout"), Ok("2000"));
        settings.reset("statement_timeout", Reach::Session).expect("it is known");
        assert_eq!(settings.get("statement_timeout"), Ok("0"));
        assert_eq!(settings.get("my.own"), Ok("x"));
        let full = (0..200).find_map(|n| settings.set(&format!("my.s{n}"), "", Reach::Session).err());
        assert_eq!(full.map(|error| error.sqlstate), Some("54000"));
    }

    #[test]
    fn what_a_transaction_sets_ends_with_it() {
        let name = "application_name";
        let mut settings = Settings::default();
        settings.set(name, "client", Reach::Session).expect("taken");
        settings.begin_session();
        settings.set(name, "set", Reach::Transaction).expect("taken");
        settings.set(name, "local", Reach::Local).expect("taken");
        assert_eq!(settings.get(name), Ok("local"));
        settings.end_transaction(true);
        assert_eq!(settings.get(name), Ok("set"), "as after COMMIT");
        settings.set(name, "other", Reach::Transaction).expect("taken");
        let mark = settings.mark();
        settings.set(name, "local", Reach::Local).expect("taken");
        settings.set(name, "last", Reach::Transaction).expect("taken");
        assert_eq!(settings.get(name), Ok("last"), "SET after SET LOCAL");
        settings.return_to(mark);
        assert_eq!(settings.get(name), Ok("other"));
        settings.set(name, "default", Reach::Local).expect("taken");
        assert_eq!(settings.get(name), Ok("client"));
        settings.end_transaction(false);
        assert_eq!(settings.get(name), Ok("set"), "as before the transaction");
        settings.reset_all(Reach::Transaction);
        assert_eq!(settings.get(name), Ok("client"), "as when the session began");
        settings.end_transaction(false);
        assert_eq!(settings.get(name), Ok("set"));
    }
}
