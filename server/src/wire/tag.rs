//! The words that end a statement's answer.

use std::fmt;

/// What was done, as clients are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tag {
    /// Rows read.
    Select(u64),
    /// Rows inserted.
    Insert(u64),
    /// Rows updated.
    Update(u64),
    /// Rows deleted.
    Delete(u64),
    /// Rows copied.
    Copy(u64),
    /// Anything else.
    Words(String),
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tag::Select(rows) => write!(f, "SELECT {rows}"),
            Tag::Insert(rows) => write!(f, "INSERT 0 {rows}"),
            Tag::Update(rows) => write!(f, "UPDATE {rows}"),
            Tag::Delete(rows) => write!(f, "DELETE {rows}"),
            Tag::Copy(rows) => write!(f, "COPY {rows}"),
            Tag::Words(words) => f.write_str(words),
        }
    }
}

impl Tag {
    /// Fixed words.
    pub fn words(words: &str) -> Tag {
        Tag::Words(words.to_owned())
    }

    /// The first words of a definition, without those that say how: CREATE OR REPLACE VIEW is CREATE VIEW.
    pub fn of_definition(sql: &str) -> Tag {
        let mut words = Vec::new();
        for word in
            without_comments(sql).split(|character: char| !character.is_alphanumeric() && character != '_')
        {
            let word = word.to_ascii_uppercase();
            let is_how = [
                "",
                "OR",
                "REPLACE",
                "UNIQUE",
                "TEMP",
                "TEMPORARY",
                "LOCAL",
                "GLOBAL",
                "UNLOGGED",
                "RECURSIVE",
            ]
            .contains(&word.as_str());
            if is_how {
                continue;
            }
            let is_last = words.len() == 1 && word != "MATERIALIZED" || words.len() == 2;
            words.push(word);
            if is_last || words == ["TRUNCATE"] {
                break;
            }
        }
        match words.first().map(String::as_str) {
            Some("TRUNCATE") => Tag::words("TRUNCATE TABLE"),
            _ => Tag::Words(words.join(" ")),
        }
    }
}

/// The text from its first word on.
pub fn without_comments(sql: &str) -> &str {
    let mut rest = sql.trim_start();
    loop {
        let after = if let Some(comment) = rest.strip_prefix("--") {
            comment.find('\n').map(|end| &comment[end..])
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.find("*/").map(|end| &comment[end + 2..])
        } else {
            return rest;
        };
        rest = after.unwrap_or_default().trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::Tag;

    #[test]
    fn definitions_are_named_by_their_first_words() {
        let tag = |sql| Tag::of_definition(sql).to_string();
        assert_eq!(tag("create table t(a int)"), "CREATE TABLE");
        assert_eq!(tag("-- x\n/* y */ CREATE MATERIALIZED VIEW v AS"), "CREATE MATERIALIZED VIEW");
        assert_eq!(tag("CREATE UNIQUE INDEX ON t(a)"), "CREATE INDEX");
        assert_eq!(tag("DROP MATERIALIZED VIEW v"), "DROP MATERIALIZED VIEW");
        assert_eq!(tag("create or replace view v as select 1"), "CREATE VIEW");
        assert_eq!(tag("ALTER TABLE t ADD COLUMN x int"), "ALTER TABLE");
        assert_eq!(tag("TRUNCATE t"), "TRUNCATE TABLE");
    }
}
