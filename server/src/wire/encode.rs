//! What the server sends: messages appended to a buffer, which goes out in one piece.

use sql::{ResultColumn, SqlError, SqlType};

/// Fields of an error that are texts of the protocol.
const SEVERITY: u8 = b'S';
const SEVERITY_PLAIN: u8 = b'V';

/// Messages on their way out.
#[derive(Debug, Default)]
pub struct Output {
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Output {
    /// Appends a message of this kind whose body `fill` writes.
    #[inline]
    pub fn message<T>(&mut self, kind: u8, fill: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        self.bytes.push(kind);
        let start = self.bytes.len();
        self.bytes.extend([0; 4]);
        let result = fill(&mut self.bytes);
        let length = u32::try_from(self.bytes.len() - start).expect("messages are bounded");
        self.bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
        result
    }

    fn empty(&mut self, kind: u8) {
        self.bytes.extend([kind, 0, 0, 0, 4]);
    }

    /// What is asked of a client to prove who it is; `body` follows the code.
    pub fn authentication(&mut self, code: u32, body: &[u8]) {
        self.message(b'R', |out| {
            out.extend(code.to_be_bytes());
            out.extend(body);
        });
    }

    /// A setting that clients want to know.
    pub fn parameter_status(&mut self, name: &str, value: &str) {
        self.message(b'S', |out| {
            text(out, name);
            text(out, value);
        });
    }

    /// By what a later connection may ask to cancel what this one does.
    pub fn key_data(&mut self, process: u32, secret: u32) {
        self.message(b'K', |out| {
            out.extend(process.to_be_bytes());
            out.extend(secret.to_be_bytes());
        });
    }

    /// The server waits for the next statement; `status` is I, T or E.
    pub fn ready(&mut self, status: u8) {
        self.bytes.extend([b'Z', 0, 0, 0, 5, status]);
    }

    /// Answer to Parse.
    pub fn parse_complete(&mut self) {
        self.empty(b'1');
    }

    /// Answer to Bind.
    pub fn bind_complete(&mut self) {
        self.empty(b'2');
    }

    /// Answer to Close.
    pub fn close_complete(&mut self) {
        self.empty(b'3');
    }

    /// What is described has no columns.
    pub fn no_data(&mut self) {
        self.empty(b'n');
    }

    /// The statement was empty.
    pub fn empty_query(&mut self) {
        self.empty(b'I');
    }

    /// A portal has more rows than were asked for.
    pub fn portal_suspended(&mut self) {
        self.empty(b's');
    }

    /// The types of a statement's parameters.
    pub fn parameter_description(&mut self, types: &[SqlType]) {
        self.message(b't', |out| {
            short(out, types.len());
            types.iter().for_each(|ty| out.extend(ty.oid().to_be_bytes()));
        });
    }

    /// The columns of a result, or that there are none; `format` gives each column's format.
    pub fn row_description(&mut self, columns: &[ResultColumn], format: impl Fn(usize) -> u16) {
        self.message(b'T', |out| {
            short(out, columns.len());
            for (at, column) in columns.iter().enumerate() {
                text(out, &column.name);
                // No table and no column of one.
                out.extend([0; 6]);
                out.extend(column.ty.oid().to_be_bytes());
                out.extend(column.ty.size().to_be_bytes());
                out.extend(column.ty.modifier().to_be_bytes());
                out.extend(format(at).to_be_bytes());
            }
        });
    }

    /// A statement is done.
    pub fn complete(&mut self, tag: &str) {
        self.message(b'C', |out| text(out, tag));
    }

    /// The client may copy in.
    pub fn copy_in(&mut self, binary: bool, columns: usize) {
        self.message(b'G', |out| copy_formats(out, binary, columns));
    }

    /// The server copies out.
    pub fn copy_out(&mut self, binary: bool, columns: usize) {
        self.message(b'H', |out| copy_formats(out, binary, columns));
    }

    /// The end of what is copied out.
    pub fn copy_done(&mut self) {
        self.empty(b'c');
    }

    /// A statement has failed; `severity` is ERROR or FATAL.
    pub fn error(&mut self, severity: &str, error: &SqlError) {
        self.message(b'E', |out| fields(out, severity, error));
    }

    /// Something that the client should know; `severity` is NOTICE or WARNING.
    pub fn notice(&mut self, severity: &str, sqlstate: &'static str, message: &str) {
        let notice = SqlError::new(sqlstate, message);
        self.message(b'N', |out| fields(out, severity, &notice));
    }
}

fn fields(out: &mut Vec<u8>, severity: &str, error: &SqlError) {
    let mut field = |name: u8, value: &str| {
        out.push(name);
        text(out, value);
    };
    field(SEVERITY, severity);
    field(SEVERITY_PLAIN, severity);
    field(b'C', error.sqlstate);
    field(b'M', &error.message);
    if let Some(detail) = &error.detail {
        field(b'D', detail);
    }
    if let Some(hint) = &error.hint {
        field(b'H', hint);
    }
    if let Some(position) = error.position {
        field(b'P', &position.to_string());
    }
    out.push(0);
}

fn copy_formats(out: &mut Vec<u8>, binary: bool, columns: usize) {
    out.push(u8::from(binary));
    short(out, columns);
    (0..columns).for_each(|_| out.extend(u16::from(binary).to_be_bytes()));
}

/// Text and the zero that ends it; a zero inside would end it early, so it is left out.
fn text(out: &mut Vec<u8>, value: &str) {
    out.extend(value.bytes().filter(|byte| *byte != 0));
    out.push(0);
}

fn short(out: &mut Vec<u8>, count: usize) {
    out.extend(u16::try_from(count).expect("columns and parameters are bounded").to_be_bytes());
}
