//! Regular expressions by the crate `regex`, in time linear in the text.
//!
//! The syntax is PostgreSQL's as far as the two agree, which they do but for references back into the pattern and
//! looking around, which do not exist here. Where several alternatives match at one place, the first is taken, while
//! PostgreSQL takes the longest. A dot matches a line's end too, and `^` and `$` the text's ends alone, unless the flag
//! `n` says otherwise.
//!
//! A pattern is compiled when it is first met, and the last few are kept.

use std::cell::RefCell;

use regex::{Captures, Regex, RegexBuilder};

use super::array;

/// Largest compiled pattern, in bytes: some thousand states.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Memory of the lazily built automaton of one pattern.
const AUTOMATON_BYTES_MAX: usize = 1 << 20;
const NESTING_MAX: u32 = 50;
/// Patterns that are kept.
const KEPT_MAX: usize = 8;
/// Parts that a text is cut into, at most: each takes memory of its own.
const PARTS_MAX: usize = 1 << 16;

/// The patterns used last.
#[derive(Debug, Default)]
pub(super) struct Patterns(RefCell<Vec<Kept>>);

#[derive(Debug)]
struct Kept {
    pattern: String,
    flags: String,
    similar: bool,
    regex: Regex,
}

impl Patterns {
    /// Runs with the compiled pattern; none if there is something wrong with it.
    fn with<T>(&self, pattern: &str, flags: &str, similar: bool, run: impl FnOnce(&Regex) -> T) -> Option<T> {
        let mut kept = self.0.borrow_mut();
        let is_it = |kept: &Kept| kept.pattern == pattern && kept.flags == flags && kept.similar == similar;
        let at = match kept.iter().position(is_it) {
            Some(at) => at,
            None => {
                let regex =
                    if similar { compile(&of_similar(pattern)?, "")? } else { compile(pattern, flags)? };
                if kept.len() == KEPT_MAX {
                    kept.remove(0);
                }
                let (pattern, flags) = (pattern.to_owned(), flags.to_owned());
                kept.push(Kept { pattern, flags, similar, regex });
                kept.len() - 1
            }
        };
        Some(run(&kept[at].regex))
    }
}

/// Whether a pattern can be used with these flags.
pub fn is_pattern(pattern: &str, flags: &str) -> bool {
    compile(pattern, flags).is_some()
}

fn compile(pattern: &str, flags: &str) -> Option<Regex> {
    let (mut insensitive, mut lines, mut spaced) = (false, false, false);
    for flag in flags.chars() {
        match flag {
            'i' => insensitive = true,
            'c' => insensitive = false,
            'n' | 'm' => lines = true,
            's' => lines = false,
            'x' => spaced = true,
            't' => spaced = false,
            // What to do with the matches is the function's affair.
            'g' => {}
            _ => return None,
        }
    }
    RegexBuilder::new(&translate(pattern)?)
        .case_insensitive(insensitive)
        .multi_line(lines)
        .dot_matches_new_line(!lines)
        .ignore_whitespace(spaced)
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(AUTOMATON_BYTES_MAX)
        .nest_limit(NESTING_MAX)
        .build()
        .ok()
}

/// PostgreSQL's own escapes in the crate's words.
fn translate(pattern: &str) -> Option<String> {
    let mut out = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    let mut in_brackets = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next()? {
                'y' if !in_brackets => out.push_str("\\b"),
                'Y' if !in_brackets => out.push_str("\\B"),
                'm' if !in_brackets => out.push_str("\\b{start}"),
                'M' if !in_brackets => out.push_str("\\b{end}"),
                'Z' if !in_brackets => out.push_str("\\z"),
                'b' => out.push_str("\\x08"),
                'e' => out.push_str("\\x1b"),
                other => {
                    out.push('\\');
                    out.push(other);
                }
            },
            // In brackets these are plain characters there, and operations on sets here.
            '[' if in_brackets && !characters.as_str().starts_with([':', '.', '=']) => out.push_str("\\["),
            '&' | '~' | '-' if in_brackets && characters.as_str().starts_with(character) => {
                out.push('\\');
                out.push(character);
            }
            '[' if in_brackets => {
                // A class by name: up to its own end.
                let end = characters.as_str().find(":]")?;
                out.push('[');
                out.push_str(characters.as_str().get(..end + 2)?);
                characters = characters.as_str().get(end + 2..)?.chars();
            }
            '[' => {
                in_brackets = true;
                out.push('[');
                if characters.as_str().starts_with('^') {
                    out.push('^');
                    characters.next();
                }
                // Right after the beginning it stands for itself.
                if characters.as_str().starts_with(']') {
                    out.push_str("\\]");
                    characters.next();
                }
            }
            ']' if in_brackets => {
                in_brackets = false;
                out.push(']');
            }
            other => out.push(other),
        }
    }
    Some(out)
}

/// The pattern of SIMILAR TO, which is all of the text: `%` and `_` as in LIKE, otherwise a regular expression.
fn of_similar(pattern: &str) -> Option<String> {
    let mut out = String::from("^(?:");
    let mut characters = pattern.chars();
    let mut in_brackets = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                let next = characters.next()?;
                if !next.is_alphanumeric() {
                    out.push('\\');
                }
                out.push(next);
            }
            '[' => {
                in_brackets = true;
                out.push('[');
            }
            ']' => {
                in_brackets = false;
                out.push(']');
            }
            '%' if !in_brackets => out.push_str(".*"),
            '_' if !in_brackets => out.push('.'),
            '.' | '^' | '$' if !in_brackets => {
                out.push('\\');
                out.push(character);
            }
            '(' if !in_brackets => out.push_str("(?:"),
            other => out.push(other),
        }
    }
    out.push_str(")$");
    Some(out)
}

/// `text ~ pattern`
pub(super) fn is_match(patterns: &Patterns, text: &str, pattern: &str, flags: &str) -> Option<bool> {
    patterns.with(pattern, flags, false, |regex| regex.is_match(text))
}

/// `text SIMILAR TO pattern`
pub(super) fn is_similar(patterns: &Patterns, text: &str, pattern: &str) -> Option<bool> {
    patterns.with(pattern, "", true, |regex| regex.is_match(text))
}

/// `regexp_count(text, pattern)`
pub(super) fn count(patterns: &Patterns, text: &str, pattern: &str, flags: &str) -> Option<i64> {
    patterns
        .with(pattern, flags, false, |regex| regex.find_iter(text).count())
        .and_then(|count| i64::try_from(count).ok())
}

/// `substring(text FROM pattern)`: what the first group matches, or all of it if there is none. The inner none is NULL.
pub(super) fn substring<'t>(patterns: &Patterns, text: &'t str, pattern: &str) -> Option<Option<&'t str>> {
    patterns.with(pattern, "", false, |regex| {
        if regex.captures_len() == 1 {
            return regex.find(text).map(|found| found.as_str());
        }
        regex.captures(text)?.get(1).map(|found| found.as_str())
    })
}

/// `regexp_substr(text, pattern)`: all that the first match covers.
pub(super) fn first<'t>(patterns: &Patterns, text: &'t str, pattern: &str) -> Option<Option<&'t str>> {
    patterns.with(pattern, "", false, |regex| regex.find(text).map(|found| found.as_str()))
}

/// `regexp_match(text, pattern)`: the groups of the first match as an array, or all of it if there are none.
pub(super) fn groups(patterns: &Patterns, text: &str, pattern: &str, flags: &str) -> Option<Option<String>> {
    patterns.with(pattern, flags, false, |regex| {
        let captures = regex.captures(text)?;
        let from = usize::from(captures.len() > 1);
        let parts = captures.iter().skip(from).map(|part| part.map(|found| found.as_str()));
        Some(array::array(parts))
    })
}

/// `regexp_split_to_array(text, pattern)`: a match of nothing separates characters.
pub(super) fn split(patterns: &Patterns, text: &str, pattern: &str, flags: &str) -> Option<String> {
    patterns.with(pattern, flags, false, |regex| {
        let (mut parts, mut from) = (Vec::new(), 0);
        for found in regex.find_iter(text).take(PARTS_MAX) {
            // Nothing is split off at the ends.
            if found.is_empty() && (found.start() == from || found.start() == text.len()) {
                continue;
            }
            parts.push(Some(&text[from..found.start()]));
            from = found.end();
        }
        parts.push(Some(&text[from..]));
        array::array(parts)
    })
}

/// `regexp_replace(text, pattern, replacement, flags)`: the first match, or all with the flag `g`. None too if the result
/// has more than `bytes_max`.
pub(super) fn replace(
    patterns: &Patterns,
    text: &str,
    pattern: &str,
    replacement: &str,
    flags: &str,
    bytes_max: usize,
) -> Option<String> {
    patterns.with(pattern, flags, false, |regex| {
        let count = if flags.contains('g') { usize::MAX } else { 1 };
        let (mut out, mut from) = (String::new(), 0);
        for captures in regex.captures_iter(text).take(count) {
            let whole = captures.get(0)?;
            out.push_str(&text[from..whole.start()]);
            expand(&captures, replacement, &mut out);
            from = whole.end();
            if out.len() > bytes_max {
                return None;
            }
        }
        out.push_str(&text[from..]);
        (out.len() <= bytes_max).then_some(out)
    })?
}

/// The replacement with `\1` to `\9` as what the groups matched and `\&` as the whole match.
fn expand(captures: &Captures<'_>, replacement: &str, out: &mut String) {
    let mut characters = replacement.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('&') => out.push_str(captures.get(0).map_or("", |found| found.as_str())),
            Some(digit @ '1'..='9') => {
                let group = digit.to_digit(10).map_or(0, |digit| digit as usize);
                out.push_str(captures.get(group).map_or("", |found| found.as_str()));
            }
            Some('\\') | None => out.push('\\'),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The results are those of PostgreSQL 15.
    #[test]
    fn as_postgresql() {
        let p = Patterns::default();
        let matches = |text: &str, pattern: &str| is_match(&p, text, pattern, "").expect(pattern);
        assert!(matches("foobar", "o+b") && !matches("foobar", "^b") && matches("a\nb", "a.b"));
        assert!(matches("the cat", "\\ycat\\y") && !matches("concat", "\\ycat"));
        assert!(matches("a]b", "[]]") && matches("x[", "[[]") && matches("e1", "[[:alpha:]][[:digit:]]"));
        assert!(matches("a&&b", "[&&]") && !matches("a\nb", "^b"));
        assert_eq!(is_match(&p, "FOO", "foo", "i"), Some(true));
        assert_eq!(is_match(&p, "a", "(", ""), None);
        assert_eq!(is_match(&p, "a", "(?=a)", ""), None);
        assert_eq!(is_match(&p, "a", "((a{100}){100}){100}", ""), None);
        let similar = |text: &str, pattern: &str| is_similar(&p, text, pattern).expect(pattern);
        assert!(similar("abc", "abc") && !similar("abc", "a") && similar("abc", "%(b|d)%"));
        assert!(!similar("abc", "(b|c)%") && similar("a.c", "a\\.c") && !similar("abc", "a.c"));
        let replaced = |text: &str, pattern: &str, with: &str, flags: &str| {
            replace(&p, text, pattern, with, flags, 1000).expect(pattern)
        };
        assert_eq!(replaced("foobarbaz", "b..", "X", ""), "fooXbaz");
        assert_eq!(replaced("foobarbaz", "b..", "X", "g"), "fooXX");
        assert_eq!(replaced("foobarbaz", "b(..)", "X\\1Y", "g"), "fooXarYXazY");
        assert_eq!(replaced("a", "a", "<\\&>\\\\$1", ""), "<a>\\$1");
        assert_eq!(substring(&p, "foobar", "o(.)b"), Some(Some("o")));
        assert_eq!(substring(&p, "foobar", "x"), Some(None));
        assert_eq!(groups(&p, "foobarbequebaz", "(bar)(beque)", ""), Some(Some("{bar,beque}".to_owned())));
        assert_eq!(groups(&p, "foo", "x", ""), Some(None));
        assert_eq!(split(&p, "the quick", "\\s+", "").as_deref(), Some("{the,quick}"));
        assert_eq!(split(&p, "abc", "", "").as_deref(), Some("{a,b,c}"));
        assert_eq!(split(&p, "a,b,", ",", "").as_deref(), Some("{a,b,\"\"}"));
        assert_eq!(count(&p, "ababab", "ab", ""), Some(3));
    }
}
