//! `sakia sql`: a small client for machines without psql. It sends statements as they are and prints what comes back.
//!
//! It speaks the Postgres wire like any other client, so it can do nothing that they cannot. Statements come from `-c`,
//! from a file, or from the standard input: line by line with a prompt at a terminal, otherwise as one script.

mod tls;

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use tokio::runtime::Runtime;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, SimpleQueryMessage, Socket};

use crate::cli::SqlOptions;
use crate::error::Error;
use tls::Tls;

/// Columns wider than this are cut on a terminal's table; what is printed elsewhere is whole.
const CELL_CHARACTERS_MAX: usize = 200;

/// Runs statements until there are no more; exit code 1 if one of a script failed.
pub fn run(options: &SqlOptions) -> Result<ExitCode, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Error::System { what: "no event loop", source })?;
    let tls = options.tls_ca.as_deref().map(Tls::load).transpose()?;
    let shell = Shell { client: connect(&runtime, options, tls.as_ref())?, runtime, tls };
    let passed = match (&options.command[..], &options.file) {
        ([], None) if std::io::stdin().is_terminal() => shell.talk()?,
        ([], None) => shell.script(&read_stdin()?),
        (commands, file) => {
            let from_file = file.as_deref().map(read_file).transpose()?;
            commands.iter().chain(&from_file).all(|sql| shell.script(sql))
        }
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn connect(runtime: &Runtime, options: &SqlOptions, tls: Option<&Tls>) -> Result<Client, Error> {
    let mut config = options.url.parse::<Config>().map_err(|source| Error::Url { source })?;
    if config.get_password().is_none()
        && let Some(password) = std::env::var_os("PGPASSWORD")
    {
        config.password(password.as_encoded_bytes());
    }
    match tls {
        Some(tls) => open(runtime, config.ssl_mode(SslMode::Require), tls.clone()),
        None if config.get_ssl_mode() == SslMode::Require => Err(Error::NoAuthority),
        None => open(runtime, &config, NoTls),
    }
}

fn open<T>(runtime: &Runtime, config: &Config, tls: T) -> Result<Client, Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let refused = |source| Error::Connect { server: server(config), source };
    runtime.block_on(async {
        let (client, mut connection) = config.connect(tls).await.map_err(refused)?;
        tokio::task::spawn(async move {
            // The end of the connection shows in the statement that waits for an answer.
            while let Some(Ok(message)) =
                std::future::poll_fn(|context| connection.poll_message(context)).await
            {
                if let AsyncMessage::Notice(notice) = message {
                    eprintln!("{}: {}", notice.severity(), notice.message());
                }
            }
        });
        Ok(client)
    })
}

/// Where a server is, without the password that the URL may have.
fn server(config: &Config) -> String {
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(folder) => folder.display().to_string(),
    });
    let ports = config.get_ports().iter().map(u16::to_string).chain(std::iter::repeat(String::new()));
    let places =
        hosts.zip(ports).map(|(host, port)| if port.is_empty() { host } else { format!("{host}:{port}") });
    places.collect::<Vec<_>>().join(",")
}

fn read_file(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Path {
        what: "cannot read",
        path: path.to_owned(),
        source,
    })
}

fn read_stdin() -> Result<String, Error> {
    std::io::read_to_string(std::io::stdin())
        .map_err(|source| Error::System { what: "the standard input cannot be read", source })
}

/// A connection and what drives it.
struct Shell {
    runtime: Runtime,
    client: Client,
    /// How it is encrypted, if it is.
    tls: Option<Tls>,
}

impl Shell {
    /// Reads statements at a terminal until its end; errors are shown and do not end it.
    fn talk(&self) -> Result<bool, Error> {
        let broken = |source| Error::System { what: "the terminal", source };
        println!("Statements end with a semicolon, and \\q or Ctrl-D ends this.");
        let mut lines = std::io::stdin().lock().lines();
        let mut statement = String::new();
        loop {
            print!("{}", if statement.is_empty() { "sakia=> " } else { "sakia-> " });
            std::io::stdout().flush().map_err(broken)?;
            let Some(line) = lines.next().transpose().map_err(broken)? else { break };
            if statement.is_empty() && matches!(line.trim(), "\\q" | "exit" | "quit") {
                break;
            }
            statement.push_str(&line);
            statement.push('\n');
            if is_whole(&statement) {
                self.script(&statement);
                statement.clear();
            }
        }
        Ok(true)
    }

    /// Runs statements and prints what they give, up to the first error.
    fn script(&self, sql: &str) -> bool {
        let answer = self.runtime.block_on(async {
            tokio::select! {
                answer = self.client.simple_query(sql) => answer,
                () = interrupted() => {
                    // If the request to cancel does not arrive, the statement just goes on.
                    let token = self.client.cancel_token();
                    let _ = match &self.tls {
                        Some(tls) => token.cancel_query(tls.clone()).await,
                        None => token.cancel_query(NoTls).await,
                    };
                    eprintln!("cancelled");
                    Ok(Vec::new())
                }
            }
        });
        let mut out = std::io::stdout().lock();
        let printed = match &answer {
            Ok(messages) => print_messages(messages, &mut out),
            Err(error) => {
                print_error(error);
                Ok(())
            }
        };
        // Nobody reads on where the output is closed.
        answer.is_ok() && printed.is_ok()
    }
}

/// Ends with Ctrl-C.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn print_messages(messages: &[SimpleQueryMessage], out: &mut impl Write) -> std::io::Result<()> {
    let mut table: Option<Table> = None;
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                table = Some(Table::new(columns.iter().map(|column| column.name().to_owned())));
            }
            SimpleQueryMessage::Row(row) => {
                let table = table.as_mut().expect("rows follow their description");
                table.push((0..row.len()).map(|column| row.get(column)));
            }
            SimpleQueryMessage::CommandComplete(rows) => match table.take() {
                Some(table) => table.print(out)?,
                None => writeln!(out, "done, {rows} {}", if *rows == 1 { "row" } else { "rows" })?,
            },
            _ => {}
        }
    }
    out.flush()
}

fn print_error(error: &tokio_postgres::Error) {
    let Some(error) = error.as_db_error() else {
        eprintln!("ERROR: {error}");
        return;
    };
    eprintln!("{} {}: {}", error.severity(), error.code().code(), error.message());
    for (what, text) in [("DETAIL", error.detail()), ("HINT", error.hint())] {
        if let Some(text) = text {
            eprintln!("{what}: {text}");
        }
    }
}

/// A result as text, printed with its columns below one another.
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(names: impl Iterator<Item = String>) -> Table {
        Table { rows: vec![names.collect()] }
    }

    fn push<'a>(&mut self, values: impl Iterator<Item = Option<&'a str>>) {
        let cell = |value: Option<&str>| {
            let text = value.unwrap_or("NULL").replace('\n', "\\n");
            match text.char_indices().nth(CELL_CHARACTERS_MAX) {
                Some((end, _)) => format!("{}...", &text[..end]),
                None => text,
            }
        };
        self.rows.push(values.map(cell).collect());
    }

    fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        let columns = self.rows[0].len();
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            writeln!(out, " {}", cells.collect::<Vec<_>>().join(" | ").trim_end())?;
            if number == 0 {
                let rule = widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>();
                writeln!(out, "{}", rule.join("+"))?;
            }
        }
        let count = self.rows.len() - 1;
        writeln!(out, "({count} {})", if count == 1 { "row" } else { "rows" })
    }
}

/// Whether the text ends where a statement does: with a semicolon that is not inside quotes or a comment.
fn is_whole(sql: &str) -> bool {
    let bytes = sql.as_bytes();
    let (mut at, mut ended) = (0, false);
    while at < bytes.len() {
        let rest = &sql[at..];
        let skipped = match bytes[at] {
            quote @ (b'\'' | b'"') => rest[1..].find(char::from(quote)).map(|end| end + 2),
            b'-' if rest.starts_with("--") => Some(rest.find('\n').unwrap_or(rest.len())),
            b'/' if rest.starts_with("/*") => rest.find("*/").map(|end| end + 2),
            b';' => {
                (at, ended) = (at + 1, true);
                continue;
            }
            byte if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            _ => Some(rest.chars().next().map_or(1, char::len_utf8)),
        };
        let Some(skipped) = skipped else { return false };
        let is_comment = rest.starts_with("--") || rest.starts_with("/*");
        ended &= is_comment;
        at += skipped;
    }
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_with_a_semicolon_of_their_own() {
        for whole in ["SELECT 1;", "SELECT ';' ;\n", "SELECT 1; -- done;\n", "SELECT 'it''s'; /* ; */"] {
            assert!(is_whole(whole), "{whole}");
        }
        for open in
            ["", "SELECT 1", "SELECT ';", "SELECT 1 -- ;\n", "SELECT \";\"", "SELECT 1; SELECT", "/* ;"]
        {
            assert!(!is_whole(open), "{open}");
        }
    }

    #[test]
    fn tables_are_aligned() {
        let mut table = Table::new(["id".to_owned(), "title".to_owned()].into_iter());
        table.push([Some("1"), Some("caf\u{e9}\nbar")].into_iter());
        table.push([Some("100"), None].into_iter());
        let mut out = Vec::new();
        table.print(&mut out).expect("memory takes everything");
        let text = String::from_utf8(out).expect("it is text");
        assert_eq!(text, " id  | title\n-----+-----------\n 1   | caf\u{e9}\\nbar\n 100 | NULL\n(2 rows)\n");
    }
}
