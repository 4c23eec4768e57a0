//! Text functions. Positions and lengths count characters, from 1. Results that are parts of the input are cut out
//! of it; others are made in the bump. `None` is "no value": longer than a row may be, or an argument out of range.

use bumpalo::Bump;
use bumpalo::collections::String as BumpString;

use crate::row::ROW_BYTES_MAX;

/// The longest text that an expression may make: half a row, so that a row can hold it beside other columns.
pub(super) const TEXT_BYTES_MAX: usize = ROW_BYTES_MAX / 2;

pub(super) fn fits(bytes: usize) -> Option<()> {
    (bytes <= TEXT_BYTES_MAX).then_some(())
}

pub(super) fn lower<'a>(text: &str, texts: &'a Bump) -> Option<&'a str> {
    map_characters(text, char::to_lowercase, str::make_ascii_lowercase, texts)
}

pub(super) fn upper<'a>(text: &str, texts: &'a Bump) -> Option<&'a str> {
    map_characters(text, char::to_uppercase, str::make_ascii_uppercase, texts)
}

fn map_characters<'a, I: Iterator<Item = char>>(
    text: &str,
    map: fn(char) -> I,
    map_ascii: fn(&mut str),
    texts: &'a Bump,
) -> Option<&'a str> {
    if text.is_ascii() {
        let copy = texts.alloc_str(text);
        map_ascii(copy);
        return Some(copy);
    }
    let mut mapped = BumpString::with_capacity_in(text.len(), texts);
    mapped.extend(text.chars().flat_map(map));
    fits(mapped.len())?;
    Some(mapped.into_bump_str())
}

pub(super) fn length(text: &str) -> i64 {
    i64::try_from(text.chars().count()).expect("texts are short")
}

/// The byte at which character number `index` (from 0) begins; the end if there are fewer.
fn byte_of(text: &str, index: i64) -> usize {
    let Ok(index) = usize::try_from(index) else {
        return 0;
    };
    // One byte is one character in most texts, and cheaper to ask for than to count.
    if text.is_ascii() {
        return index.min(text.len());
    }
    text.char_indices().nth(index).map_or(text.len(), |(at, _)| at)
}

/// `count` characters from number `from` on, both as SQL says: what lies before the first character uses up count.
pub(super) fn substr(text: &str, from: i64, count: Option<i64>) -> Option<&str> {
    let end = match count {
        Some(count) if count < 0 => return None,
        Some(count) => from.saturating_add(count),
        None => i64::MAX,
    };
    let begin = byte_of(text, from.saturating_sub(1));
    let end = byte_of(text, end.saturating_sub(1));
    Some(text.get(begin..end).unwrap_or_default())
}

/// The first characters; all but the last ones if `count` is negative.
pub(super) fn left(text: &str, count: i64) -> &str {
    let count = if count < 0 { length(text).saturating_add(count) } else { count };
    &text[..byte_of(text, count)]
}

/// The last characters; all but the first ones if `count` is negative.
pub(super) fn right(text: &str, count: i64) -> &str {
    let skipped = if count < 0 { count.saturating_neg() } else { length(text).saturating_sub(count) };
    &text[byte_of(text, skipped)..]
}

/// Takes characters of `unwanted` off the chosen ends.
pub(super) fn trim<'a>(text: &'a str, unwanted: &str, front: bool, back: bool) -> &'a str {
    let text = if front { text.trim_start_matches(|found| unwanted.contains(found)) } else { text };
    if back { text.trim_end_matches(|found| unwanted.contains(found)) } else { text }
}

/// Every `from`, left to right and not overlapping, becomes `to`. An empty `from` is found nowhere.
pub(super) fn replace<'a>(text: &'a str, from: &str, to: &str, texts: &'a Bump) -> Option<&'a str> {
    let found = if from.is_empty() { 0 } else { text.matches(from).count() };
    if found == 0 {
        return Some(text);
    }
    let bytes = (text.len() - found * from.len()).checked_add(found.checked_mul(to.len())?)?;
    fits(bytes)?;
    let mut result = BumpString::with_capacity_in(bytes, texts);
    let mut parts = text.split(from);
    result.push_str(parts.next().expect("a split has a first part"));
    for part in parts {
        result.push_str(to);
        result.push_str(part);
    }
    Some(result.into_bump_str())
}

pub(super) fn concat<'a, 't>(parts: impl Iterator<Item = &'t str>, texts: &'a Bump) -> Option<&'a str> {
    let mut result = BumpString::new_in(texts);
    for part in parts {
        fits(result.len() + part.len())?;
        result.push_str(part);
    }
    Some(result.into_bump_str())
}

/// Lengthens to `count` characters with `fill`, before or behind; a longer text is cut at its end.
pub(super) fn pad<'a>(
    text: &'a str,
    count: i64,
    fill: &str,
    before: bool,
    texts: &'a Bump,
) -> Option<&'a str> {
    let missing = count.saturating_sub(length(text));
    if missing <= 0 || fill.is_empty() {
        return Some(left(text, count.max(0)));
    }
    let missing = usize::try_from(missing).expect("positive");
    // Each character has at least one byte.
    fits(missing)?;
    let filling = || fill.chars().cycle().take(missing);
    let bytes = text.len() + filling().map(char::len_utf8).sum::<usize>();
    fits(bytes)?;
    let mut result = BumpString::with_capacity_in(bytes, texts);
    if before {
        result.extend(filling());
    }
    result.push_str(text);
    if !before {
        result.extend(filling());
    }
    Some(result.into_bump_str())
}

pub(super) fn reverse<'a>(text: &str, texts: &'a Bump) -> &'a str {
    let mut result = BumpString::with_capacity_in(text.len(), texts);
    result.extend(text.chars().rev());
    result.into_bump_str()
}

/// The number of the character at which `needle` is first found, 0 if nowhere.
pub(super) fn position(text: &str, needle: &str) -> i64 {
    text.find(needle).map_or(0, |at| length(&text[..at]) + 1)
}
