//! How a front has a catalogue entry defined: what it and the supervisor say to each other on the registration stream.
//!
//! The entry itself lies in a file in the front's folder, so what goes over the stream is small and of fixed size, and
//! the supervisor never waits for more of it.
//!
//! ```text
//! request, front to supervisor                answer, supervisor to front
//!   0  "SDEF"                                   0  verdict: u16
//!   4  0: u32                                   2  bytes of the message behind it: u16
//!   8  number of the definition: u64            4  0: u32
//!  16  entry that it was made on: u64           8  number of the definition: u64
//!  24  bytes of its file: u64                  16  entry: u64, its own, or the newest where another came first
//!                                              24  message, UTF-8
//! ```
//!
//! A definition stands once its answer has been sent, and it may stand although none was: if the front dies or the database
//! ends in between.

use super::catalogue::DefineError;
use super::layout::RunFolder;
use crate::catalogue::ENTRY_BYTES_MAX;
use crate::clock::FrontId;
use crate::message::Refusal;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;

/// Bytes of a request.
pub(crate) const REQUEST_BYTES: usize = 32;
/// Bytes of an answer in front of its message.
const ANSWER_BYTES: usize = 24;
const MAGIC: [u8; 4] = *b"SDEF";
/// The most bytes of a message: what is longer is cut off.
const MESSAGE_BYTES_MAX: usize = 2048;

/// What a front asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) front: FrontId,
    /// The front's own number for it.
    pub(crate) number: u64,
    /// The newest entry when it was made.
    pub(crate) after: u64,
    bytes: u64,
}

/// The bytes of a request.
pub(crate) fn request(number: u64, after: u64, bytes: u64) -> [u8; REQUEST_BYTES] {
    let mut request = [0; REQUEST_BYTES];
    request[..4].copy_from_slice(&MAGIC);
    request[8..16].copy_from_slice(&number.to_le_bytes());
    request[16..24].copy_from_slice(&after.to_le_bytes());
    request[24..].copy_from_slice(&bytes.to_le_bytes());
    request
}

/// The reverse of [`request`]; none if it is something else.
pub(crate) fn read_request(front: FrontId, request: &[u8; REQUEST_BYTES]) -> Option<Asked> {
    let word = |at: usize| u64::from_le_bytes(request[at..at + 8].try_into().expect("eight bytes"));
    (request[..4] == MAGIC).then(|| Asked { front, number: word(8), after: word(16), bytes: word(24) })
}

impl Asked {
    /// Takes the entry out of the front's folder.
    pub(crate) fn read(&self, run: &RunFolder) -> io::Result<Vec<u8>> {
        let path = run.front(self.front).definition(self.number);
        // Whatever a front gone mad puts there must not hold up the supervisor: a pipe without a writer would.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = File::options().read(true).custom_flags(flags).open(&path)?;
        if !file.metadata()?.is_file() || self.bytes > ENTRY_BYTES_MAX as u64 {
            return Err(io::Error::other(format!(
                "a definition is a file of {ENTRY_BYTES_MAX} bytes at most"
            )));
        }
        let mut bytes = Vec::new();
        file.take(self.bytes).read_to_end(&mut bytes)?;
        // What cannot be removed goes with the front's folder.
        let _ = fs::remove_file(&path);
        Ok(bytes)
    }

    /// The error for an entry that could not be read.
    pub(crate) fn unreadable(&self, run: &RunFolder, source: io::Error) -> DefineError {
        let path = run.front(self.front).definition(self.number).display().to_string();
        DefineError::File { path, source }
    }
}

/// What comes of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) number: u64,
    /// The entry that it has become, or why it has not.
    pub(crate) result: Result<u64, (Refusal, String)>,
}

/// The refusals that can come of a definition; the verdict is the place, from 1.
const REFUSALS: [Refusal; 5] =
    [Refusal::Stale, Refusal::Invalid, Refusal::DiskFull, Refusal::OutcomeUnknown, Refusal::Down];

impl Answer {
    pub(crate) fn of(number: u64, result: &Result<u64, DefineError>) -> Answer {
        let result = result.as_ref().map(|entry| *entry).map_err(|error| {
            let reason = match error {
                DefineError::Stale { .. } => Refusal::Stale,
                DefineError::Invalid(_) | DefineError::Plan(_) => Refusal::Invalid,
                DefineError::Log(wal::Error::NoRoom { .. }) => Refusal::DiskFull,
                DefineError::Log(_) => Refusal::OutcomeUnknown,
                DefineError::File { .. } => Refusal::Down,
            };
            (reason, error.to_string())
        });
        Answer { number, result }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let (verdict, entry, message) = match &self.result {
            Ok(entry) => (0, *entry, ""),
            Err((reason, message)) => {
                let place = REFUSALS.iter().position(|refusal| refusal == reason);
                (place.expect("definitions are refused for these reasons") + 1, 0, message.as_str())
            }
        };
        let message = &message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)];
        let mut bytes = vec![0; ANSWER_BYTES];
        bytes[..2].copy_from_slice(&(verdict as u16).to_le_bytes());
        bytes[2..4].copy_from_slice(&(message.len() as u16).to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&entry.to_le_bytes());
        bytes.extend_from_slice(message.as_bytes());
        bytes
    }

    /// Takes the first answer off what has come; none if it is not complete yet.
    ///
    /// # Errors
    /// If it is no answer.
    pub(crate) fn take(heard: &mut Vec<u8>) -> Result<Option<Answer>, String> {
        let Some(head) = heard.first_chunk::<ANSWER_BYTES>() else { return Ok(None) };
        let half = |at: usize| usize::from(u16::from_le_bytes([head[at], head[at + 1]]));
        let word = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        let (verdict, end, number, entry) = (half(0), ANSWER_BYTES + half(2), word(8), word(16));
        let Some(message) = heard.get(ANSWER_BYTES..end) else { return Ok(None) };
        let message = String::from_utf8_lossy(message).into_owned();
        let result = match verdict.checked_sub(1) {
            None => Ok(entry),
            Some(place) => {
                let reason = REFUSALS.get(place).ok_or_else(|| format!("verdict {verdict} is unknown"))?;
                Err((*reason, message))
            }
        };
        heard.drain(..end);
        Ok(Some(Answer { number, result }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe in place of a file, on which a reader would wait for ever; and other things that are no definitions.
    #[test]
    fn the_supervisor_does_not_wait_for_what_a_front_puts_there() {
        let run =
            RunFolder(std::env::temp_dir().join(format!("sakia-definition-test-{}", std::process::id())));
        let front = run.front(FrontId(7));
        fs::create_dir_all(&front.0).expect("creates");
        let asked = |number, bytes| Asked { front: FrontId(7), number, after: 0, bytes };
        let made = std::process::Command::new("mkfifo").arg(front.definition(1)).status().expect("runs");
        assert!(made.success());
        assert!(asked(1, 10).read(&run).is_err(), "a pipe");
        std::os::unix::fs::symlink("/dev/zero", front.definition(2)).expect("links");
        assert!(asked(2, 10).read(&run).is_err(), "a link to elsewhere");
        assert!(asked(3, 10).read(&run).is_err(), "nothing");
        fs::write(front.definition(4), b"a definition, and more").expect("writes");
        assert!(asked(4, u64::MAX).read(&run).is_err(), "it claims more than there may be");
        assert_eq!(asked(4, 12).read(&run).expect("reads"), b"a definition");
        assert!(!front.definition(4).exists());
        fs::remove_dir_all(&run.0).expect("removes");
    }

    #[test]
    fn requests_and_answers_read_back_in_pieces() {
        let asked = read_request(FrontId(7), &request(3, 12, 4000)).expect("is one");
        assert_eq!(asked, Asked { front: FrontId(7), number: 3, after: 12, bytes: 4000 });
        assert_eq!(read_request(FrontId(7), &[1; REQUEST_BYTES]), None);
        let answers = [
            Answer { number: 3, result: Ok(13) },
            Answer { number: 4, result: Err((Refusal::Stale, "entry 14 came first".into())) },
            Answer { number: 5, result: Err((Refusal::Invalid, "é".repeat(MESSAGE_BYTES_MAX))) },
        ];
        let bytes: Vec<u8> = answers.iter().flat_map(Answer::encode).collect();
        let (mut heard, mut read) = (Vec::new(), Vec::new());
        for byte in bytes {
            heard.push(byte);
            read.extend(Answer::take(&mut heard).expect("is an answer"));
        }
        assert!(heard.is_empty());
        assert_eq!(read[..2], answers[..2]);
        let Err((Refusal::Invalid, message)) = &read[2].result else { panic!("{:?}", read[2]) };
        assert_eq!(message.len(), MESSAGE_BYTES_MAX);
        assert!(
            Answer::take(&mut vec![9; ANSWER_BYTES]).is_ok_and(|none| none.is_none()),
            "its message is missing"
        );
        assert!(Answer::take(&mut [&[9, 0, 0, 0][..], &[0; 20]].concat()).is_err());
    }
}
