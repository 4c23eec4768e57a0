//! One-dimensional arrays as texts, in the form in which PostgreSQL writes them: `{1,NULL,"a b"}`.
//!
//! An element is in quotes where it has to be, so equal arrays are equal texts. What is no such text is an error (none
//! in the functions below).

use std::borrow::Cow;

/// Appends an element.
pub(super) fn quote(element: &str, out: &mut String) {
    let plain = |byte: u8| !matches!(byte, b'{' | b'}' | b',' | b'"' | b'\\' | b' ' | b'\t'..=b'\r');
    if !element.is_empty() && element.bytes().all(plain) && !element.eq_ignore_ascii_case("null") {
        out.push_str(element);
        return;
    }
    out.push('"');
    for character in element.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
}

/// The elements of an array, NULL being none.
pub fn elements(array: &str) -> Option<Vec<Option<Cow<'_, str>>>> {
    let mut rest = array.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (element, after) = next(rest)?;
        found.push(element);
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(more) if !more.trim().is_empty() => more.trim_start(),
            Some(_) => return None,
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(found)
}

/// The element at the front of a text, and what follows it.
fn next(text: &str) -> Option<(Option<Cow<'_, str>>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        let word = text[..end].trim_end();
        if word.is_empty() || word.contains(['{', '}', '"', '\\']) {
            return None;
        }
        let element = (!word.eq_ignore_ascii_case("null")).then_some(Cow::Borrowed(word));
        return Some((element, &text[end..]));
    };
    let (mut element, mut characters) = (String::new(), quoted.char_indices());
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((Some(Cow::Owned(element)), &quoted[at + 1..])),
            '\\' => element.push(characters.next()?.1),
            other => element.push(other),
        }
    }
    None
}

/// An array of these elements.
pub fn array<'a>(elements: impl IntoIterator<Item = Option<&'a str>>) -> String {
    let mut out = String::from("{");
    for (number, element) in elements.into_iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        match element {
            Some(element) => quote(element, &mut out),
            None => out.push_str("NULL"),
        }
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let all =
            [Some("a"), None, Some(""), Some("null"), Some("a b"), Some("q\"\\"), Some("{,}"), Some("é")];
        let text = array(all);
        assert_eq!(text, r#"{a,NULL,"","null","a b","q\"\\","{,}",é}"#);
        let back = elements(&text).expect("an array");
        assert_eq!(back.iter().map(Option::as_deref).collect::<Vec<_>>(), all);
        assert_eq!(elements("{}"), Some(Vec::new()));
        assert_eq!(
            elements(" { 1 , 2 } ").map(|found| array(found.iter().map(Option::as_deref))).as_deref(),
            Some("{1,2}")
        );
        for wrong in ["", "{", "1,2", "{1,}", "{,}", "{\"a}", "{{1},{2}}", "{a\"b}", "{\"a\"b}"] {
            assert_eq!(elements(wrong), None, "{wrong}");
        }
    }
}
