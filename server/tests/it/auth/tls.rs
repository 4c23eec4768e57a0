//! TLS: encrypted connections are like plain ones, files that do not fit are named, and nobody listens beyond this machine
//! without it by mistake.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustix::process::{Pid, Signal, kill_process};
use tokio_postgres::config::{ChannelBinding, SslMode};
use tokio_postgres::{Client, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::raw::Raw;
use super::server::{Server, code, run, state, value, with_folder};
use crate::process;
use crate::server::signal;

/// The arguments of a server on the folder `data`.
fn arguments(data: &Path) -> Vec<String> {
    let data = data.to_str().expect("the path is text");
    ["--data", data, "--shards", "2"].map(str::to_owned).to_vec()
}

/// A certificate with its key, as files.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    der: CertificateDer<'static>,
}

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).expect("it can be written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
}

impl Files {
    /// Makes them beside the data folder.
    fn make(data: &Path) -> Files {
        let folder = data.parent().expect("it is in a folder");
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).expect("they can be made");
        let (certificate, key) = (folder.join("server.crt"), folder.join("server.key"));
        write(&certificate, &cert.pem(), 0o644);
        write(&key, &signing_key.serialize_pem(), 0o600);
        Files { certificate, key, der: cert.der().clone() }
    }

    fn options(&self) -> [&str; 4] {
        let [certificate, key] =
            [&self.certificate, &self.key].map(|path| path.to_str().expect("it is text"));
        ["--tls-cert", certificate, "--tls-key", key]
    }

    /// A client that knows the certificate.
    fn tls(&self) -> MakeRustlsConnect {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("it is a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the usual ones")
            .with_root_certificates(roots)
            .with_no_client_auth();
        MakeRustlsConnect::new(config)
    }
}

/// Comes in by TLS.
async fn by_tls(server: &Server, files: &Files, user: &str, password: &str) -> Result<Client, Error> {
    let mut config = Config::new();
    config.host("localhost").hostaddr([127, 0, 0, 1].into()).port(server.port());
    config.user(user).dbname("any").ssl_mode(SslMode::Require);
    if !password.is_empty() {
        config.password(password).channel_binding(ChannelBinding::Require);
    }
    let (client, connection) = config.connect(files.tls()).await?;
    tokio::task::spawn(connection);
    Ok(client)
}

#[test]
fn certificates_that_are_replaced_are_those_of_new_connections() {
    with_folder(|data| async move {
        let files = Files::make(&data);
        let server = Server::start(&data, &files.options());
        let before = by_tls(&server, &files, "a", "").await.expect("let in");
        run(&before, "CREATE USER ann SUPERUSER PASSWORD 'a'").await;
        // Half of what is to be replaced cannot be used.
        std::fs::write(&files.key, "nothing").expect("written");
        let ann = by_tls(&server, &files, "ann", "a").await.expect("the certificate from before");
        let renewed = Files::make(&data);
        by_tls(&server, &files, "ann", "a").await.expect_err("the server has another certificate");
        let new = by_tls(&server, &renewed, "ann", "a").await.expect("bound to the new one");
        for client in [before, ann, new] {
            assert_eq!(value(&client, "SELECT 1").await, "1");
        }
    });
}

#[test]
fn encrypted_connections_are_like_plain_ones() {
    with_folder(|data| async move {
        let files = Files::make(&data);
        let patient = ["--stall-timeout", "3600000"];
        let server = Server::start(&data, &[&files.options()[..], &patient].concat());
        let plain = server.by_tcp("a", "").await.expect("nothing else is asked for on this machine");
        let client = by_tls(&server, &files, "a", "").await.expect("let in");
        run(&client, "CREATE TABLE t (id bigint PRIMARY KEY, body text)").await;
        let insert = client.prepare("INSERT INTO t VALUES ($1, $2)").await.expect("it is prepared");
        // Longer than what is encrypted at once.
        let body = "x".repeat(200_000);
        for id in 0..5i64 {
            client.execute(&insert, &[&id, &body]).await.expect("written");
        }
        let rows = client.query("SELECT body FROM t", &[]).await.expect("read");
        assert!(rows.len() == 5 && rows.iter().all(|row| row.get::<_, &str>(0) == body));
        assert_eq!(value(&plain, "SELECT count(*) FROM t").await, "5");

        // Nobody answers a statement while the shards stand still, so it can only be cancelled.
        server.shards.iter().for_each(|shard| signal("-STOP", shard));
        let waits = client.batch_execute("SELECT count(*) FROM t");
        let cancels = async {
            // A request that comes before the statement does nothing.
            loop {
                client.cancel_token().cancel_query(files.tls()).await.expect("it is taken");
            }
        };
        let ended = tokio::select! { ended = waits => ended, () = cancels => unreachable!("it goes on") };
        assert_eq!(code(&ended.expect_err("nobody answers")), "57014");
        server.shards.iter().for_each(|shard| signal("-CONT", shard));

        run(&plain, "CREATE USER ann PASSWORD 'a'").await;
        let ann = by_tls(&server, &files, "ann", "a").await.expect("bound to the certificate");
        assert_eq!(value(&ann, "SELECT current_user").await, "ann");
        assert_eq!(state(&ann, "CREATE ROLE x").await, "42501");
        let wrong = by_tls(&server, &files, "ann", "b").await.expect_err("another password");
        assert_eq!(code(&wrong), "28P01");
        assert_eq!(code(&by_tls(&server, &files, "eve", "a").await.expect_err("nobody")), "28P01");
        let shell = |certificate: &Path, more: &[&str]| {
            let url = format!("postgres://ann@localhost:{}/any", server.port());
            let ca = certificate.to_str().expect("it is text");
            let mut command = process::sakia(&[&["sql", &url, "--tls-ca", ca], more].concat());
            command.env("PGPASSWORD", "a").output().expect("it runs")
        };
        let output = shell(&files.certificate, &["-c", "SELECT session_user"]);
        assert!(process::printed(&output).contains("ann"), "{}", process::complained(&output));
        let stranger = Files::make(&data.join("beside"));
        let output = shell(&stranger.certificate, &["-c", "SELECT 1"]);
        assert!(process::complained(&output).contains("certificate"), "{}", process::complained(&output));
        by_tls(&server, &stranger, "ann", "a").await.expect_err("the server's certificate is another one");
        server.stop();
    });
}

/// What a client that asks for encryption sends.
fn request() -> Vec<u8> {
    let mut request = 8u32.to_be_bytes().to_vec();
    request.extend((1234u32 << 16 | 5679).to_be_bytes());
    request
}

#[test]
fn what_is_no_tls_ends_its_own_connection() {
    with_folder(|data| async move {
        let files = Files::make(&data);
        let server = Server::start(&data, &files.options());
        let mut raw = Raw::connect(&server.address);
        raw.bytes(&request());
        assert_eq!(raw.byte(), b'S');
        raw.bytes(b"this is no handshake");
        assert_eq!(raw.end(), "", "an alert is no message");
        // What comes along with the request could be from anybody.
        let mut raw = Raw::connect(&server.address);
        raw.bytes(&[request(), b"\0\0\0\x08".to_vec()].concat());
        assert_eq!(raw.end(), "08P01");
        // Encryption by Kerberos is refused, and TLS may follow.
        let mut raw = Raw::connect(&server.address);
        raw.packet(&(1234u32 << 16 | 5680).to_be_bytes());
        assert_eq!(raw.byte(), b'N');
        raw.bytes(&request());
        assert_eq!(raw.byte(), b'S');
        let client = by_tls(&server, &files, "a", "").await.expect("it goes on");
        assert_eq!(value(&client, "SELECT 1").await, "1");
        server.stop();
    });
}

#[test]
fn files_that_do_not_fit_are_named() {
    with_folder(|data| async move {
        let files = Files::make(&data);
        let folder = data.parent().expect("it is in a folder").to_owned();
        let file = |name: &str, text: &str, mode: u32| {
            write(&folder.join(name), text, mode);
            folder.join(name)
        };
        let pem = std::fs::read_to_string(&files.certificate).expect("it is there");
        let key = std::fs::read_to_string(&files.key).expect("it is there");
        let other = KeyPair::generate().expect("it can be made").serialize_pem();
        let encrypted = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
        let cut = pem.replace("-----END CERTIFICATE-----", "");
        let (good_certificate, good_key) = (files.certificate.clone(), files.key.clone());
        let missing = folder.join("missing");
        let huge = "x".repeat(2 << 20);
        for (certificate, key, named, said) in [
            (missing.clone(), good_key.clone(), "missing", "does not exist"),
            (good_certificate.clone(), missing, "missing", "does not exist"),
            (folder.clone(), good_key.clone(), "", "is no file"),
            (file("empty", "", 0o644), good_key.clone(), "empty", "has no certificate"),
            (files.key.clone(), good_key.clone(), "server.key", "has no certificate"),
            (file("cut", &cut, 0o644), good_key.clone(), "cut", "is damaged"),
            (file("huge", &huge, 0o644), good_key, "huge", "has more than"),
            (good_certificate.clone(), file("open", &key, 0o640), "open", "chmod 600"),
            (good_certificate.clone(), file("locked", &encrypted, 0o600), "locked", "is encrypted"),
            (good_certificate.clone(), file("nokey", &pem, 0o600), "nokey", "has no private key"),
            (good_certificate, file("other", &other, 0o600), "other", "is not the key"),
        ] {
            let [certificate, key] = [certificate, key].map(|path| path.display().to_string());
            let mut all = arguments(&data);
            all.extend(["--no-http", "--tls-cert", &certificate, "--tls-key", &key].map(str::to_owned));
            let output = process::run(&all.iter().map(String::as_str).collect::<Vec<_>>());
            let complaint = process::complained(&output);
            assert!(!output.status.success(), "{said}");
            assert!(complaint.contains(named) && complaint.contains(said), "{named}, {said}: {complaint}");
        }
        assert!(!data.exists(), "nothing was begun");
    });
}

/// Starts a server that is to listen beyond this machine, and what it complains of while it ends.
fn refusal(data: &Path, more: &[&str]) -> String {
    let all = [arguments(data), more.iter().map(ToString::to_string).collect()].concat();
    let output = process::run(&all.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(!output.status.success(), "{more:?}");
    process::complained(&output)
}

#[test]
fn beyond_this_machine_there_is_tls_and_a_password() {
    with_folder(|data| async move {
        let files = Files::make(&data);
        let listen = ["--listen", "127.0.0.1:0", "--listen", "0.0.0.0:0"];
        let secure = [&listen[..], &files.options()].concat();
        let refused = [&secure[..], &["--no-http"]].concat();

        let complaint = refusal(&data, &listen);
        assert!(complaint.contains("0.0.0.0:0") && complaint.contains("--tls-cert"), "{complaint}");
        let complaint = refusal(&data, &["--http", "0.0.0.0:0", "--listen", "127.0.0.1:0"]);
        assert!(complaint.contains("HTTP on 0.0.0.0:0") && complaint.contains("--no-http"), "{complaint}");
        let complaint = refusal(&data, &refused);
        assert!(complaint.contains("0.0.0.0:0") && complaint.contains("CREATE ROLE"), "{complaint}");

        let server = Server::start(&data, &[]);
        let client = server.by_socket("admin").await.expect("let in");
        run(&client, "CREATE USER ann PASSWORD 'a'").await;
        server.stop();
        let server = Server::start(&data, &secure);
        by_tls(&server, &files, "ann", "a").await.expect("her password");
        server.by_tcp("ann", "").await.expect_err("a password is asked for");
        server.by_tcp("ann", "a").await.expect("on this machine it need not be encrypted");
        server.stop();
    });
}

#[test]
fn who_means_it_listens_anywhere_and_is_warned() {
    with_folder(|data| async move {
        let mut all = arguments(&data);
        all.extend(["--no-http", "--listen", "0.0.0.0:0", "--insecure"].map(str::to_owned));
        let mut command = process::sakia(&all.iter().map(String::as_str).collect::<Vec<_>>());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut out = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let is_ready = out.any(|line| line.is_ok_and(|line| line == "ready"));
        kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
        let output = child.wait_with_output().expect("it ends");
        let complaint = process::complained(&output);
        assert!(is_ready && complaint.contains("--insecure") && complaint.contains("0.0.0.0"), "{complaint}");
    });
}
