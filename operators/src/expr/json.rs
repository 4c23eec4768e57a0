//! JSON values as texts of one form, so that equal values are equal texts, and what can be asked of such a text.
//!
//! The form is PostgreSQL's of jsonb: members sorted by the length of their names and then by bytes, the last of equal
//! names kept, one blank after a colon or comma, no others; numbers without exponent. [`canonical`] makes it of any
//! JSON; the rest only reads texts that are in it, and finds nothing in others.

use std::borrow::Cow;
use std::fmt::Write;

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 128;

/// The canonical text of the JSON value in `text`.
///
/// # Errors
///
/// The byte, from 0, at which the text stops being JSON.
pub fn canonical(text: &str) -> Result<String, usize> {
    let mut reader = Reader { text, at: 0 };
    let mut out = String::with_capacity(text.len());
    let read = reader.value(&mut out, 0).filter(|()| {
        reader.blanks();
        reader.at == text.len()
    });
    match read {
        Some(()) => Ok(out),
        None => Err(reader.at),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn take(&mut self, token: &str) -> bool {
        self.blanks();
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn value(&mut self, out: &mut String, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        for word in ["true", "false", "null"] {
            if self.take(word) {
                out.push_str(word);
                return Some(());
            }
        }
        match self.rest().as_bytes().first()? {
            b'{' => self.object(out, depth),
            b'[' => self.array(out, depth),
            b'"' => {
                let text = self.string()?;
                quote(&text, out);
                Some(())
            }
            _ => self.number(out),
        }
    }

    fn array(&mut self, out: &mut String, depth: usize) -> Option<()> {
        self.at += 1;
        out.push('[');
        if self.take("]") {
            out.push(']');
            return Some(());
        }
        loop {
            self.value(out, depth + 1)?;
            if self.take("]") {
                out.push(']');
                return Some(());
            }
            self.take(",").then_some(())?;
            out.push_str(", ");
        }
    }

    fn object(&mut self, out: &mut String, depth: usize) -> Option<()> {
        self.at += 1;
        let mut members: Vec<(String, String)> = Vec::new();
        let mut more = !self.take("}");
        while more {
            self.blanks();
            let name = self.string()?;
            self.take(":").then_some(())?;
            let mut value = String::new();
            self.value(&mut value, depth + 1)?;
            members.push((name, value));
            more = self.take(",");
            if !more {
                self.take("}").then_some(())?;
            }
        }
        // The sort is stable, so of equal names the last one stays last and is the one that is kept.
        members.sort_by(|a, b| a.0.len().cmp(&b.0.len()).then_with(|| a.0.cmp(&b.0)));
        let mut kept: Vec<(String, String)> = Vec::with_capacity(members.len());
        for member in members {
            kept.pop_if(|last| last.0 == member.0);
            kept.push(member);
        }
        out.push('{');
        for (number, (name, value)) in kept.iter().enumerate() {
            out.push_str(if number > 0 { ", " } else { "" });
            quote(name, out);
            out.push_str(": ");
            out.push_str(value);
        }
        out.push('}');
        Some(())
    }

    fn number(&mut self, out: &mut String) -> Option<()> {
        let rest = self.rest();
        let length = rest
            .bytes()
            .take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .count();
        let word = &rest[..length];
        let digits = word.strip_prefix('-').unwrap_or(word);
        let zero_first = digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
        let ends_in_digit = word.ends_with(|character: char| character.is_ascii_digit());
        let point_in_digits = !word.contains("..") && !word.contains(".e") && !word.contains(".E");
        let well_formed = digits.starts_with(|character: char| character.is_ascii_digit())
            && !zero_first
            && ends_in_digit
            && point_in_digits
            && word.parse::<f64>().is_ok();
        well_formed.then(|| {
            number_text(word, out)?;
            self.at += length;
            Some(())
        })?
    }

    fn string(&mut self) -> Option<String> {
        let mut characters = self.rest().char_indices();
        (characters.next()?.1 == '"').then_some(())?;
        let mut text = String::new();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += at + 1;
                    return Some(text);
                }
                '\\' => text.push(escape(&mut characters)?),
                '\0'..='\u{1f}' => return None,
                other => text.push(other),
            }
        }
        None
    }
}

fn escape(characters: &mut std::str::CharIndices<'_>) -> Option<char> {
    Some(match characters.next()?.1 {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let first = code_unit(characters)?;
            let mut units = vec![first];
            if (0xd800..0xdc00).contains(&first) {
                (characters.next()?.1 == '\\' && characters.next()?.1 == 'u').then_some(())?;
                units.push(code_unit(characters)?);
            }
            // The character 0 has no place in a text.
            let decoded = char::decode_utf16(units).next()?.ok();
            return decoded.filter(|character| *character != '\0');
        }
        other @ ('"' | '\\' | '/') => other,
        _ => return None,
    })
}

fn code_unit(characters: &mut std::str::CharIndices<'_>) -> Option<u16> {
    let mut unit = 0;
    for _ in 0..4 {
        unit = unit << 4 | characters.next()?.1.to_digit(16)? as u16;
    }
    Some(unit)
}

/// Appends the text as a JSON string.
pub(super) fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' => {
                write!(out, "\\u{:04x}", character as u32).expect("a string takes any text");
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Appends a number without its exponent. None if that would be very long.
fn number_text(word: &str, out: &mut String) -> Option<()> {
    /// Of zeros that an exponent may stand for.
    const EXPONENT_MAX: i64 = 1000;
    let (negative, size) = word.strip_prefix('-').map_or((false, word), |size| (true, size));
    if negative && size.bytes().any(|byte| matches!(byte, b'1'..=b'9')) {
        out.push('-');
    }
    let Some((digits, exponent)) = size.split_once(['e', 'E']) else {
        out.push_str(size);
        return Some(());
    };
    let exponent: i64 = exponent.parse().ok().filter(|found: &i64| found.abs() <= EXPONENT_MAX)?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    let point = i64::try_from(whole.len()).ok()? + exponent;
    if point <= 0 {
        out.push_str("0.");
        (point..0).for_each(|_| out.push('0'));
        out.push_str(&all);
        return Some(());
    }
    let point = usize::try_from(point).ok()?;
    let before = format!("{:0<point$}", &all[..point.min(all.len())]);
    // Zeros in front are none of a number's.
    let trimmed = before.trim_start_matches('0');
    out.push_str(if trimmed.is_empty() { "0" } else { trimmed });
    if point < all.len() {
        out.push('.');
        out.push_str(&all[point..]);
    }
    Some(())
}

/// A value by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    String,
    Number,
    Boolean,
    Null,
}

pub(super) fn kind(json: &str) -> Kind {
    match json.as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't' | b'f') => Kind::Boolean,
        Some(b'n') => Kind::Null,
        _ => Kind::Number,
    }
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Object => "object",
            Kind::Array => "array",
            Kind::String => "string",
            Kind::Number => "number",
            Kind::Boolean => "boolean",
            Kind::Null => "null",
        }
    }
}

/// The end of the value that begins at the front of a canonical text.
fn value_end(json: &str) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for (at, byte) in json.bytes().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' if depth == 0 => return at + 1,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return if depth == 1 { at + 1 } else { at },
            b'}' | b']' => depth -= 1,
            b',' | b':' if depth == 0 => return at,
            _ => {}
        }
    }
    json.len()
}

/// What stands between the first character and the last.
fn inside(json: &str) -> &str {
    json.get(1..json.len().saturating_sub(1)).unwrap_or_default()
}

/// The values of an array, or the names and values of an object, one after another.
struct Parts<'a>(&'a str);

impl<'a> Parts<'a> {
    /// Of an array or object; of anything else there are none.
    fn of(json: &'a str) -> Self {
        Parts(if matches!(kind(json), Kind::Object | Kind::Array) { inside(json) } else { "" })
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        // A bracket that closes nothing, in what is no JSON, is passed over like any other sign.
        let end = if self.0.starts_with(['}', ']']) { 1 } else { value_end(self.0) };
        let (value, rest) = self.0.split_at(end);
        self.0 = rest.trim_start_matches([',', ':', ' ']);
        Some(value)
    }
}

fn members(json: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut parts = Parts::of(json);
    std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
}

/// The member of an object.
pub(super) fn member<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    if kind(json) != Kind::Object {
        return None;
    }
    let mut quoted = String::new();
    quote(name, &mut quoted);
    members(json).find(|(found, _)| *found == quoted).map(|(_, value)| value)
}

/// The element of an array, counted from 0, or from the end if negative.
pub(super) fn element(json: &str, index: i64) -> Option<&str> {
    if kind(json) != Kind::Array {
        return None;
    }
    let from_end = || i64::try_from(Parts::of(json).count()).ok()?.checked_add(index);
    let index = if index < 0 { from_end()? } else { index };
    Parts::of(json).nth(usize::try_from(index).ok()?)
}

/// One step of a path: a name for an object, a number for an array.
pub(super) fn step<'a>(json: &'a str, step: &str) -> Option<&'a str> {
    match kind(json) {
        Kind::Object => member(json, step),
        Kind::Array => element(json, step.parse().ok()?),
        _ => None,
    }
}

/// How many elements an array has.
pub(super) fn array_length(json: &str) -> Option<i64> {
    if kind(json) == Kind::Array { i64::try_from(Parts::of(json).count()).ok() } else { None }
}

/// Whether a string is a member's name, an element, or the value itself.
pub(super) fn has_key(json: &str, name: &str) -> bool {
    let mut quoted = String::new();
    quote(name, &mut quoted);
    match kind(json) {
        Kind::Object => members(json).any(|(found, _)| found == quoted),
        Kind::Array => Parts::of(json).any(|found| found == quoted),
        _ => json == quoted,
    }
}

/// The value as text: a string without its quotes, null as none.
pub(super) fn text(json: &str) -> Option<Cow<'_, str>> {
    match kind(json) {
        Kind::Null => None,
        Kind::String if !json.contains('\\') => Some(Cow::Borrowed(inside(json))),
        Kind::String => Reader { text: json, at: 0 }.string().map(Cow::Owned),
        _ => Some(Cow::Borrowed(json)),
    }
}

/// Whether the left value contains the right one, as `@>` says; none if finding out takes too long.
pub(super) fn contains(left: &str, right: &str) -> Option<bool> {
    /// Values that are looked at: a few milliseconds.
    const STEPS_MAX: u32 = 1_000_000;
    let mut steps = STEPS_MAX;
    // An array contains a value that is one of its elements.
    if kind(left) == Kind::Array && !matches!(kind(right), Kind::Array | Kind::Object) {
        return Some(Parts::of(left).any(|element| same_scalar(element, right)));
    }
    contains_within(left, right, &mut steps)
}

fn contains_within(left: &str, right: &str, steps: &mut u32) -> Option<bool> {
    *steps = steps.checked_sub(1)?;
    match (kind(left), kind(right)) {
        (Kind::Object, Kind::Object) => {
            for (name, value) in members(right) {
                let mut found = false;
                for (other, candidate) in members(left) {
                    *steps = steps.checked_sub(1)?;
                    if other == name {
                        found = contains_within(candidate, value, steps)?;
                        break;
                    }
                }
                if !found {
                    return Some(false);
                }
            }
            Some(true)
        }
        (Kind::Array, Kind::Array) => {
            for value in Parts::of(right) {
                let mut found = false;
                for candidate in Parts::of(left) {
                    if contains_within(candidate, value, steps)? {
                        found = true;
                        break;
                    }
                }
                if !found {
                    return Some(false);
                }
            }
            Some(true)
        }
        (Kind::Object | Kind::Array, _) | (_, Kind::Object | Kind::Array) => Some(false),
        _ => Some(same_scalar(left, right)),
    }
}

fn same_scalar(left: &str, right: &str) -> bool {
    let digits = |json: &str| -> String {
        let trimmed =
            if json.contains('.') { json.trim_end_matches('0').trim_end_matches('.') } else { json };
        trimmed.to_owned()
    };
    left == right
        || kind(left) == Kind::Number && kind(right) == Kind::Number && digits(left) == digits(right)
}

/// `left || right`: members or elements of both.
pub(super) fn concat(left: &str, right: &str) -> Option<String> {
    let objects = kind(left) == Kind::Object && kind(right) == Kind::Object;
    let part = |json: &'_ str| -> String {
        let opened = objects || kind(json) == Kind::Array;
        if opened { inside(json).to_owned() } else { json.to_owned() }
    };
    let both: Vec<String> = [part(left), part(right)].into_iter().filter(|json| !json.is_empty()).collect();
    let both = both.join(", ");
    canonical(&if objects { format!("{{{both}}}") } else { format!("[{both}]") }).ok()
}

/// `json - name`: without a member, or without the elements that are this string.
pub(super) fn without(json: &str, name: &str) -> Option<String> {
    let mut quoted = String::new();
    quote(name, &mut quoted);
    match kind(json) {
        Kind::Object => {
            let kept: Vec<String> = members(json)
                .filter(|(found, _)| *found != quoted)
                .map(|(name, value)| format!("{name}: {value}"))
                .collect();
            Some(format!("{{{}}}", kept.join(", ")))
        }
        Kind::Array => {
            let kept: Vec<&str> = Parts::of(json).filter(|found| *found != quoted).collect();
            Some(format!("[{}]", kept.join(", ")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form() {
        let check = |text: &str, expected: &str| assert_eq!(canonical(text).as_deref(), Ok(expected));
        check(" 1E2 ", "100");
        check("-1.5e-3", "-0.0015");
        check("12.345e2", "1234.5");
        check("0.05E1", "0.5");
        check("-0", "0");
        check("{\"b\":1,\"a\":{},\"b\":[]}", "{\"a\": {}, \"b\": []}");
        check("\"\\u00e9\\ud83d\\ude00\\/\\n\"", "\"é😀/\\n\"");
        for wrong in ["", "{", "[1,]", "{\"a\"}", "01", "1.", "+1", "nul", "\"\\u0000\"", "1 2", "\"\n\""] {
            assert!(canonical(wrong).is_err(), "{wrong:?}");
        }
        assert!(canonical(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn parts_of_values() {
        let json = canonical(r#"{"a": [1, "x,\"]", {"b": null}], "long": "q\"", "n": -1.50}"#).expect("JSON");
        let a = member(&json, "a").expect("a member");
        assert_eq!(a, r#"[1, "x,\"]", {"b": null}]"#);
        assert_eq!(element(a, 1).and_then(text).as_deref(), Some("x,\"]"));
        assert_eq!(element(a, -1), Some(r#"{"b": null}"#));
        assert_eq!(element(a, 3), None);
        assert_eq!(element(a, -4), None);
        assert_eq!(array_length(a), Some(3));
        assert_eq!(step(a, "2").and_then(|json| step(json, "b")).and_then(text), None);
        assert_eq!(member(&json, "n"), Some("-1.50"));
        assert_eq!(member(&json, "none"), None);
        assert_eq!(member("[]", "a"), None);
        assert_eq!(array_length("[]"), Some(0));
        assert!(has_key(&json, "long") && has_key(a, "x,\"]") && !has_key(a, "b"));
    }

    #[test]
    fn what_is_no_json_comes_to_an_end() {
        for text in ["{}}", "[}]", "{]}}", "[,:]", "{]é}"] {
            assert!(
                !has_key(text, "a") && member(text, "a").is_none() && element(text, 99).is_none(),
                "{text}"
            );
        }
    }

    /// The results are those of PostgreSQL 15.
    #[test]
    fn containment() {
        let check = |left: &str, right: &str, expected: bool| {
            let (l, r) = (canonical(left).expect(left), canonical(right).expect(right));
            assert_eq!(contains(&l, &r), Some(expected), "{left} @> {right}");
        };
        check(r#"{"a": 1, "b": {"c": [1, 2, 3]}}"#, r#"{"b": {"c": [3, 1]}}"#, true);
        check(r#"{"a": 1}"#, r#"{"a": 1.0}"#, true);
        check(r#"{"a": 1}"#, r#"{"a": "1"}"#, false);
        check("[1, 2]", "1", true);
        check("[[1]]", "[1]", false);
        check("[[1, 2], 3]", "[[2]]", true);
        check("1", "[1]", false);
        check("{}", "{}", true);
        check("[]", "{}", false);
        check(r#"["a", "b"]"#, r#"["b", "b"]"#, true);
        let long = format!("[{}0]", "[1], ".repeat(3000));
        assert_eq!(contains(&long, &long.replace('1', "2")), Some(false));
        let hard = format!("[{}[3]]", "[1], ".repeat(3000));
        assert_eq!(contains(&hard, &format!("[{}[1]]", "[3], ".repeat(3000))), None);
    }

    #[test]
    fn joined_and_cut() {
        assert_eq!(concat(r#"{"a": 1}"#, r#"{"b": 2, "a": 3}"#).as_deref(), Some(r#"{"a": 3, "b": 2}"#));
        assert_eq!(concat("[1]", "2").as_deref(), Some("[1, 2]"));
        assert_eq!(without(r#"{"a": 1, "b": 2}"#, "a").as_deref(), Some(r#"{"b": 2}"#));
        assert_eq!(without("1", "a"), None);
    }
}
