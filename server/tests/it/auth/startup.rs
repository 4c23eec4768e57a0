//! What strangers may do: little, and not for long.

use super::raw::Raw;
use super::server::{Server, code, run, value, with_folder};

/// The salt that the server gives a name.
fn salt(address: &str, user: &str) -> String {
    let mut raw = Raw::named(address, user);
    assert_eq!(raw.asked(), (10, "SCRAM-SHA-256\0\0".to_owned()));
    raw.first("SCRAM-SHA-256", b"n,,n=,r=nonce");
    let (code, text) = raw.asked();
    assert_eq!(code, 11);
    let fields: Vec<&str> = text.split(',').collect();
    assert!(fields[0].starts_with("r=nonce") && fields[2] == "i=4096", "{text}");
    fields[1].to_owned()
}

#[test]
fn garbage_is_refused_and_names_are_not_told() {
    with_folder(|data| async move {
        let server = Server::start(&data, &[]);
        let client = server.by_socket("admin").await.expect("let in");
        run(&client, "CREATE USER ann PASSWORD 'a'").await;
        let address = server.address.clone();
        let silent = Raw::connect(&address);
        let mut named = Raw::named(&address, "ann");
        named.asked();

        assert_eq!(salt(&address, "ann"), salt(&address, "ann"));
        assert_eq!(salt(&address, "nobody"), salt(&address, "nobody"));
        assert_ne!(salt(&address, "nobody"), salt(&address, "somebody"));

        let ended = |act: &dyn Fn(&mut Raw)| {
            let mut raw = Raw::named(&address, "ann");
            raw.asked();
            act(&mut raw);
            raw.end()
        };
        assert_eq!(ended(&|raw| raw.message(b'Q', b"SELECT 1\0")), "08P01");
        assert_eq!(ended(&|raw| raw.message(b'p', b"")), "08P01");
        assert_eq!(ended(&|raw| raw.message(b'p', b"a")), "08P01");
        assert_eq!(ended(&|raw| raw.message(b'p', &[b'x'; 2000])), "08P01");
        assert_eq!(ended(&|raw| raw.bytes(b"p\xff\xff\xff\xff")), "08P01");
        assert_eq!(ended(&|raw| raw.message(b'p', b"SCRAM-SHA-256\0\xff\xff\xff\xff")), "08P01");
        assert_eq!(ended(&|raw| raw.message(b'p', b"SCRAM-SHA-256\0\0\0\0\x09n,,")), "08P01");
        assert_eq!(ended(&|raw| raw.first("PLAIN", b"\0ann\0a")), "08P01");
        assert_eq!(ended(&|raw| raw.first("SCRAM-SHA-256-PLUS", b"n,,n=,r=x")), "08P01");
        assert_eq!(ended(&|raw| raw.first("SCRAM-SHA-256", b"\xff\xfe")), "08P01");
        assert_eq!(ended(&|raw| raw.first("SCRAM-SHA-256", b"p=tls-unique,,n=,r=x")), "08P01");
        assert_eq!(
            ended(&|raw| {
                raw.first("SCRAM-SHA-256", b"n,,n=,r=x");
                raw.asked();
                raw.message(b'p', b"c=biws,r=x,p=AAAA");
            }),
            "08P01"
        );
        assert_eq!(ended(&|raw| raw.message(b'X', b"")), "");

        // Whoever says nothing, or not enough, is shown out after some seconds.
        assert_eq!(silent.end(), "");
        assert_eq!(named.end(), "");
        assert_eq!(value(&client, "SHOW is_superuser").await, "on");
        server.stop();
    });
}

#[test]
fn start_up_packets_have_a_limit() {
    with_folder(|data| async move {
        let server = Server::start(&data, &[]);
        let mut raw = Raw::connect(&server.address);
        raw.packet(&vec![b'x'; 10_000]);
        assert_eq!(raw.end(), "08P01");
        let mut raw = Raw::connect(&server.address);
        raw.bytes(b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(raw.end(), "08P01");
        let mut raw = Raw::connect(&server.address);
        let mut request = 8u32.to_be_bytes().to_vec();
        request.extend((1234u32 << 16 | 5679).to_be_bytes());
        raw.bytes(&request);
        assert_eq!(raw.byte(), b'N');
        server.stop();
    });
}

#[test]
fn connections_have_a_limit() {
    with_folder(|data| async move {
        let server = Server::start(&data, &["--connections", "2"]);
        let first = server.by_tcp("a", "").await.expect("there is room");
        let second = server.by_tcp("a", "").await.expect("there is room");
        assert_eq!(code(&server.by_tcp("a", "").await.expect_err("there is none")), "53300");
        let admin = server.by_socket("a").await.expect("the server's own user finds room");
        assert_eq!(value(&admin, "SELECT 1").await, "1");
        drop(first);
        let start = std::time::Instant::now();
        drop(admin);
        while server.by_tcp("a", "").await.is_err() {
            assert!(start.elapsed() < super::server::PATIENCE, "a place is given back");
            tokio::task::yield_now().await;
        }
        assert_eq!(value(&second, "SELECT 1").await, "1");
        server.stop();
    });
}
