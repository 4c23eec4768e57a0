//! What strangers send: startup packets and messages. Nothing may panic, and what is read lies within what was sent.
#![no_main]

#[path = "../../src/wire/decode.rs"]
#[allow(dead_code)]
mod decode;

use decode::{Message, Reader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, body)) = bytes.split_first() else { return };
    if let Ok(message) = decode::message(*kind, body) {
        read_all(&message, body.len());
    }
    // A startup packet: a code, then pairs of texts.
    let mut reader = Reader(body);
    if reader.word().is_ok() {
        while let (Ok(name), Ok(value)) = (reader.text(), reader.text()) {
            assert!(name.len() + value.len() <= body.len());
        }
    }
});

fn read_all(message: &Message<'_>, length: usize) {
    match message {
        Message::Parse { sql, types, .. } => {
            assert!(sql.len() + types.len() * 4 <= length);
            assert_eq!(types.iter().count(), types.len());
        }
        Message::Bind(bind) => {
            assert_eq!(bind.values.iter().count(), bind.values.len());
            let bytes: usize = bind.values.iter().flatten().map(<[u8]>::len).sum();
            assert!(bytes <= length);
            for at in [0, 1, usize::from(u16::MAX)] {
                let formats = (bind.formats.format(at), bind.results.format(at));
                assert!(formats.0 <= 0xffff && formats.1 <= 0xffff);
            }
        }
        _ => {}
    }
}
