//! Functions of texts that make new ones: beside those of `text.rs`, which work on every row of many views, these are
//! the rarer ones. Regular expressions are among them.

use std::fmt::Write;

use bumpalo::Bump;
use bumpalo::collections::String as BumpString;

use super::bound::Scratch;
use super::function::{BYTES, Function, INT, Signature, TEXT, signature};
use super::text::{TEXT_BYTES_MAX, fits};
use super::{array, digest, regex};
use crate::value::{Datum, Type};

/// A function of texts whose result is NULL when any argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StringFunction {
    Initcap,
    Md5,
    /// Of bytes.
    Md5Bytes,
    SplitPart,
    Translate,
    Repeat,
    Ascii,
    Chr,
    QuoteIdent,
    QuoteLiteral,
    ToHex,
    Overlay,
    /// Bytes to text, and text to bytes, by the name of a form.
    Encode,
    Decode,
    RegexLike,
    SimilarTo,
    RegexReplace,
    RegexSubstring,
    RegexFirst,
    RegexMatch,
    RegexSplit,
    RegexCount,
    /// An element of an array in the form in which it stands there.
    ArrayQuote,
    ArrayLength,
    ArrayGet,
    ArrayContains,
    ArrayToString,
    StringToArray,
}

pub(super) const SIGNATURES: &[Signature] = {
    use StringFunction as S;
    use Type::{Bool, Bytes, Int, Text};
    const fn of(
        name: &'static str,
        function: S,
        takes: &'static [super::function::Parameter],
        optional: usize,
        gives: Type,
    ) -> Signature {
        signature(name, Function::String(function), takes, optional, Some(gives))
    }
    &[
        of("initcap", S::Initcap, &[TEXT], 0, Text),
        of("md5", S::Md5, &[TEXT], 0, Text),
        of("md5", S::Md5Bytes, &[BYTES], 0, Text),
        of("split_part", S::SplitPart, &[TEXT, TEXT, INT], 0, Text),
        of("translate", S::Translate, &[TEXT, TEXT, TEXT], 0, Text),
        of("repeat", S::Repeat, &[TEXT, INT], 0, Text),
        of("ascii", S::Ascii, &[TEXT], 0, Int),
        of("chr", S::Chr, &[INT], 0, Text),
        of("quote_ident", S::QuoteIdent, &[TEXT], 0, Text),
        of("quote_literal", S::QuoteLiteral, &[TEXT], 0, Text),
        of("to_hex", S::ToHex, &[INT], 0, Text),
        of("overlay", S::Overlay, &[TEXT, TEXT, INT, INT], 1, Text),
        of("encode", S::Encode, &[BYTES, TEXT], 0, Text),
        of("decode", S::Decode, &[TEXT, TEXT], 0, Bytes),
        of("regexp_like", S::RegexLike, &[TEXT, TEXT, TEXT], 1, Bool),
        of("similar_to", S::SimilarTo, &[TEXT, TEXT], 0, Bool),
        of("regexp_replace", S::RegexReplace, &[TEXT, TEXT, TEXT, TEXT], 1, Text),
        of("regexp_substring", S::RegexSubstring, &[TEXT, TEXT], 0, Text),
        of("regexp_substr", S::RegexFirst, &[TEXT, TEXT], 0, Text),
        of("regexp_match", S::RegexMatch, &[TEXT, TEXT, TEXT], 1, Text),
        of("regexp_split_to_array", S::RegexSplit, &[TEXT, TEXT, TEXT], 1, Text),
        of("regexp_count", S::RegexCount, &[TEXT, TEXT, TEXT], 1, Int),
        of("array_quote", S::ArrayQuote, &[TEXT], 0, Text),
        of("cardinality", S::ArrayLength, &[TEXT], 0, Int),
        of("array_get", S::ArrayGet, &[TEXT, INT], 0, Text),
        of("array_contains", S::ArrayContains, &[TEXT, TEXT], 0, Bool),
        of("array_to_string", S::ArrayToString, &[TEXT, TEXT, TEXT], 1, Text),
        of("string_to_array", S::StringToArray, &[TEXT, TEXT], 0, Text),
    ]
};

/// A text that is made, unless it is longer than a row may hold.
pub(super) fn made<'a>(text: &str, texts: &'a Bump) -> Option<Datum<'a>> {
    fits(text.len())?;
    Some(Datum::Text(texts.alloc_str(text)))
}

/// A text that is made, or NULL.
fn made_or_null<'a>(text: Option<String>, texts: &'a Bump) -> Option<Datum<'a>> {
    text.map_or(Some(Datum::Null), |text| made(&text, texts))
}

impl StringFunction {
    /// Computes the function of arguments that are not NULL.
    pub(super) fn call<'a>(self, arguments: &[Datum<'a>], scratch: &'a Scratch) -> Option<Datum<'a>> {
        let (texts, patterns) = (scratch.texts(), scratch.patterns());
        let flags = |at: usize| match arguments.get(at) {
            Some(Datum::Text(flags)) => *flags,
            _ => "",
        };
        use Datum::{Bool, Bytes, Int, Text};
        match (self, arguments) {
            (Self::RegexLike, [Text(text), Text(pattern), ..]) => {
                regex::is_match(patterns, text, pattern, flags(2)).map(Bool)
            }
            (Self::SimilarTo, [Text(text), Text(pattern)]) => {
                regex::is_similar(patterns, text, pattern).map(Bool)
            }
            (Self::RegexReplace, [Text(text), Text(pattern), Text(with), ..]) => {
                let made = regex::replace(patterns, text, pattern, with, flags(3), TEXT_BYTES_MAX)?;
                Some(Text(texts.alloc_str(&made)))
            }
            (Self::RegexSubstring, [Text(text), Text(pattern)]) => {
                Some(regex::substring(patterns, text, pattern)?.map_or(Datum::Null, Text))
            }
            (Self::RegexFirst, [Text(text), Text(pattern)]) => {
                Some(regex::first(patterns, text, pattern)?.map_or(Datum::Null, Text))
            }
            (Self::RegexMatch, [Text(text), Text(pattern), ..]) => {
                made_or_null(regex::groups(patterns, text, pattern, flags(2))?, texts)
            }
            (Self::RegexSplit, [Text(text), Text(pattern), ..]) => {
                made(&regex::split(patterns, text, pattern, flags(2))?, texts)
            }
            (Self::RegexCount, [Text(text), Text(pattern), ..]) => {
                regex::count(patterns, text, pattern, flags(2)).map(Int)
            }
            (Self::Md5Bytes, [Bytes(bytes)]) => made(&digest::md5_text(bytes), texts),
            (Self::Encode, [Bytes(bytes), Text(form)]) => made(&encode(bytes, form)?, texts),
            (Self::Chr, [Int(code)]) => {
                let character =
                    u32::try_from(*code).ok().and_then(char::from_u32).filter(|found| *found != '\0')?;
                made(character.encode_utf8(&mut [0; 4]), texts)
            }
            (Self::ToHex, [Int(value)]) => made(&format!("{value:x}"), texts),
            (_, [Text(text), rest @ ..]) if self.is_of_array() => self.of_array(text, rest, texts),
            (_, [Text(text), rest @ ..]) => self.of_text(text, rest, texts),
            _ => unreachable!("{self:?} does not take {arguments:?}"),
        }
    }

    fn of_text<'a>(self, text: &'a str, rest: &[Datum<'a>], texts: &'a Bump) -> Option<Datum<'a>> {
        use Datum::{Int, Text};
        match (self, rest) {
            (Self::Initcap, []) => initcap(text, texts),
            (Self::Md5, []) => made(&digest::md5_text(text.as_bytes()), texts),
            (Self::SplitPart, [Text(separator), Int(number)]) => {
                split_part(text, separator, *number).map(Text)
            }
            (Self::Translate, [Text(from), Text(to)]) => {
                let to: Vec<char> = to.chars().collect();
                let mapped = |character| match from.chars().position(|other| other == character) {
                    Some(at) => to.get(at).copied(),
                    None => Some(character),
                };
                made(&text.chars().filter_map(mapped).collect::<String>(), texts)
            }
            (Self::Repeat, [Int(times)]) => {
                let times = usize::try_from(*times).unwrap_or(0);
                fits(text.len().checked_mul(times)?)?;
                made(&text.repeat(if text.is_empty() { 0 } else { times }), texts)
            }
            (Self::Ascii, []) => {
                Some(Int(text.chars().next().map_or(0, |first| i64::from(u32::from(first)))))
            }
            (Self::QuoteIdent, []) => made(&quote_ident(text), texts),
            (Self::QuoteLiteral, []) => made(&quote_literal(text), texts),
            (Self::Overlay, [Text(with), Int(from)]) => overlay(text, with, *from, None, texts),
            (Self::Overlay, [Text(with), Int(from), Int(count)]) => {
                overlay(text, with, *from, Some(*count), texts)
            }
            (Self::Decode, [Text(form)]) => {
                decode(text, form).map(|bytes| Datum::Bytes(texts.alloc_slice_copy(&bytes)))
            }
            _ => unreachable!("{self:?} does not take text and {rest:?}"),
        }
    }

    fn is_of_array(self) -> bool {
        matches!(
            self,
            Self::ArrayQuote
                | Self::ArrayLength
                | Self::ArrayGet
                | Self::ArrayContains
                | Self::ArrayToString
                | Self::StringToArray
        )
    }

    fn of_array<'a>(self, text: &'a str, rest: &[Datum<'a>], texts: &'a Bump) -> Option<Datum<'a>> {
        use Datum::{Bool, Int, Text};
        match (self, rest) {
            (Self::ArrayQuote, []) => {
                let mut quoted = String::new();
                array::quote(text, &mut quoted);
                made(&quoted, texts)
            }
            (Self::ArrayLength, []) => i64::try_from(array::elements(text)?.len()).ok().map(Int),
            (Self::ArrayGet, [Int(number)]) => {
                let elements = array::elements(text)?;
                let at = number.checked_sub(1).and_then(|at| usize::try_from(at).ok());
                let found = at.and_then(|at| elements.into_iter().nth(at)).flatten();
                made_or_null(found.map(std::borrow::Cow::into_owned), texts)
            }
            (Self::ArrayContains, [Text(wanted)]) => {
                let elements = array::elements(text)?;
                if elements.iter().any(|found| found.as_deref() == Some(wanted)) {
                    return Some(Bool(true));
                }
                // One that is not known may be the one.
                Some(if elements.contains(&None) { Datum::Null } else { Bool(false) })
            }
            (Self::ArrayToString, [Text(separator), rest @ ..]) => {
                let for_null =
                    rest.first().and_then(|datum| if let Text(text) = datum { Some(*text) } else { None });
                let elements = array::elements(text)?;
                let shown: Vec<&str> =
                    elements.iter().filter_map(|found| found.as_deref().or(for_null)).collect();
                made(&shown.join(separator), texts)
            }
            (Self::StringToArray, [Text(separator)]) => {
                let parts: Vec<&str> = match (text.is_empty(), separator.is_empty()) {
                    (true, _) => Vec::new(),
                    (false, true) => vec![text],
                    (false, false) => text.split(separator).collect(),
                };
                made(&array::array(parts.into_iter().map(Some)), texts)
            }
            _ => unreachable!("{self:?} does not take an array and {rest:?}"),
        }
    }
}

fn initcap<'a>(text: &str, texts: &'a Bump) -> Option<Datum<'a>> {
    let mut out = BumpString::with_capacity_in(text.len(), texts);
    let mut in_word = false;
    for character in text.chars() {
        if in_word {
            out.extend(character.to_lowercase());
        } else {
            out.extend(character.to_uppercase());
        }
        in_word = character.is_alphanumeric();
    }
    fits(out.len())?;
    Some(Datum::Text(out.into_bump_str()))
}

/// Part `number`, from 1, or from the end if negative; empty if there is none. 0 is no number of a part.
fn split_part<'a>(text: &'a str, separator: &str, number: i64) -> Option<&'a str> {
    if number == 0 {
        return None;
    }
    if separator.is_empty() {
        return Some(if number.unsigned_abs() == 1 { text } else { "" });
    }
    let skipped = usize::try_from(number.unsigned_abs() - 1).ok()?;
    let part =
        if number > 0 { text.split(separator).nth(skipped) } else { text.rsplit(separator).nth(skipped) };
    Some(part.unwrap_or_default())
}

fn quote_ident(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit();
    if name.bytes().all(plain) && !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit())
    {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn quote_literal(text: &str) -> String {
    let escape = if text.contains('\\') { " E" } else { "" };
    format!("{}'{}'", escape.trim_start(), text.replace('\'', "''").replace('\\', "\\\\"))
}

/// `count` characters from number `from` on give way to `with`; as many as it has itself if not said.
fn overlay<'a>(text: &str, with: &str, from: i64, count: Option<i64>, texts: &'a Bump) -> Option<Datum<'a>> {
    if from <= 0 {
        return None;
    }
    let count = count.unwrap_or_else(|| super::text::length(with));
    let front = super::text::substr(text, 1, Some(from - 1))?;
    let back = super::text::substr(text, from.saturating_add(count), None)?;
    made(&format!("{front}{with}{back}"), texts)
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode(bytes: &[u8], form: &str) -> Option<String> {
    fits(bytes.len().checked_mul(4)?)?;
    let mut out = String::new();
    match form.to_ascii_lowercase().as_str() {
        "hex" => bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}")).ok()?,
        "base64" => {
            for (number, chunk) in bytes.chunks(3).enumerate() {
                // Lines of 76 characters, as mail has them.
                if number > 0 && number % 19 == 0 {
                    out.push('\n');
                }
                let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte))
                    << (8 * (3 - chunk.len()));
                for place in 0..4 {
                    let sextet = (word >> (18 - 6 * place) & 63) as usize;
                    out.push(if place <= chunk.len() { char::from(BASE64[sextet]) } else { '=' });
                }
            }
        }
        "escape" => {
            for byte in bytes {
                match byte {
                    b'\\' => out.push_str("\\\\"),
                    0 | 128.. => write!(out, "\\{byte:03o}").ok()?,
                    byte => out.push(char::from(*byte)),
                }
            }
        }
        _ => return None,
    }
    Some(out)
}

fn decode(text: &str, form: &str) -> Option<Vec<u8>> {
    let digits = || text.bytes().filter(|byte| !byte.is_ascii_whitespace());
    match form.to_ascii_lowercase().as_str() {
        "hex" => {
            let nibbles: Option<Vec<u8>> =
                digits().map(|digit| char::from(digit).to_digit(16).map(|value| value as u8)).collect();
            let nibbles = nibbles?;
            nibbles
                .len()
                .is_multiple_of(2)
                .then(|| nibbles.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
        }
        "base64" => {
            let all: Vec<u8> = digits().collect();
            let padding = all.iter().rev().take_while(|digit| **digit == b'=').count();
            if !all.len().is_multiple_of(4) || padding > 2 {
                return None;
            }
            let (mut out, mut word) = (Vec::with_capacity(all.len() / 4 * 3), 0u32);
            for (number, digit) in all[..all.len() - padding].iter().chain(&b"AA"[..padding]).enumerate() {
                let value = BASE64.iter().position(|known| known == digit)?;
                word = word << 6 | value as u32;
                if number % 4 == 3 {
                    out.extend_from_slice(&word.to_be_bytes()[1..]);
                    word = 0;
                }
            }
            out.truncate(out.len() - padding);
            Some(out)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_bytes() {
        for text in ["", "f", "fo", "foo", "foob", "fooba", "foobar"] {
            for form in ["hex", "base64"] {
                let encoded = encode(text.as_bytes(), form).expect(form);
                assert_eq!(decode(&encoded, form).as_deref(), Some(text.as_bytes()), "{encoded}");
            }
        }
        assert_eq!(encode(b"fooba", "base64").as_deref(), Some("Zm9vYmE="));
        assert_eq!(encode(b"a\\\x00\xff", "escape").as_deref(), Some("a\\\\\\000\\377"));
        assert_eq!(decode("Zm9", "base64"), None);
        assert_eq!(decode("0", "hex"), None);
    }

    #[test]
    fn parts_of_texts() {
        assert_eq!(split_part("a,b,c", ",", 2), Some("b"));
        assert_eq!(split_part("a,b,c", ",", -1), Some("c"));
        assert_eq!(split_part("a,b,c", ",", 4), Some(""));
        assert_eq!(split_part("a,b,c", ",", 0), None);
        assert_eq!(quote_ident("a b"), "\"a b\"");
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("\\"), "E'\\\\'");
    }
}
