//! The one form of a JSON value, so that equal values are equal texts.
//!
//! As PostgreSQL's jsonb prints it: members sorted by the length of their names and then by bytes, the last of equal
//! names kept, one blank after a colon or comma, no others. Numbers keep their text but for the exponent's case.

use crate::error::{Result, SqlError};
use std::fmt::Write;

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 128;

/// The canonical text of the JSON value in `text`.
pub fn canonical(text: &str) -> Result<String> {
    let mut reader = Reader { text, at: 0 };
    let mut out = String::with_capacity(text.len());
    let read = reader.value(&mut out, 0).filter(|()| {
        reader.blanks();
        reader.at == text.len()
    });
    match read {
        Some(()) => Ok(out),
        None => Err(SqlError::new("22P02", "invalid input for type jsonb")
            .detail(format!("It is not JSON from byte {} on.", reader.at + 1))),
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
            out.push_str(&word.to_ascii_lowercase());
            self.at += length;
        })
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

fn quote(text: &str, out: &mut String) {
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

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn one_form() {
        let check = |text: &str, expected: &str| assert_eq!(canonical(text).as_deref(), Ok(expected));
        check(" 1E2 ", "1e2");
        check("{\"b\":1,\"a\":{},\"b\":[]}", "{\"a\": {}, \"b\": []}");
        check("\"\\u00e9\\ud83d\\ude00\\/\\n\"", "\"é😀/\\n\"");
        for wrong in ["", "{", "[1,]", "{\"a\"}", "01", "1.", "+1", "nul", "\"\\u0000\"", "1 2", "\"\n\""] {
            assert!(canonical(wrong).is_err(), "{wrong:?}");
        }
        assert!(canonical(&"[".repeat(100_000)).is_err());
    }
}
