//! Roles: what statements make of the catalogue, who may run them, and what is seen of them.

use sql::role::{Asker, Material, Secret, Verifier};
use sql::{Bound, Catalog, Definition, Entry, SqlError, bind, parse};

use crate::database::{Database, joined};

/// Nobody may find this in what is kept.
const PASSWORD: &str = "open sesame";

fn material() -> Material {
    let verifier = Verifier { iterations: 4096, salt: vec![1; 16], stored_key: [2; 32], server_key: [3; 32] };
    Material { verifier: Some(verifier), secret: Secret([9; 32]) }
}

/// Runs a statement as `name` through the bytes in which its entry is kept.
fn run_as(catalog: &mut Catalog, name: &str, sql: &str) -> Result<Option<Entry>, SqlError> {
    let parsed = parse(sql)?.pop().expect("a statement");
    let Bound::Role(statement) = bind(catalog, &parsed, &[])?.bound else { panic!("{sql}: not about roles") };
    let is_superuser = catalog.roles().find(name).is_some_and(|role| role.is_superuser);
    let asker = Asker { name, is_superuser };
    match statement.definition(catalog, asker, &material())? {
        Definition::Nothing(_) => Ok(None),
        Definition::Entry(entry) => {
            let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&*entry).expect("it can be kept");
            let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
            assert!(!has(PASSWORD.as_bytes()), "{sql}: the password is kept");
            let kept = rkyv::from_bytes::<Entry, rkyv::rancor::Error>(&bytes).expect("it can be read");
            catalog.apply(&kept)?;
            Ok(Some(kept))
        }
    }
}

fn run(catalog: &mut Catalog, sql: &str) -> Result<Option<Entry>, SqlError> {
    run_as(catalog, "sakia", sql)
}

fn state<T: std::fmt::Debug>(result: Result<T, SqlError>) -> &'static str {
    result.expect_err("it is refused").sqlstate
}

/// Each role with what it may and whether it has a password.
fn shown(catalog: &Catalog) -> Vec<String> {
    let flag = |is: bool, name: &'static str| if is { name } else { "" };
    let show = |role: &sql::role::Role| {
        let verifier = role.verifier.is_some();
        let flags = [flag(role.can_login, "l"), flag(role.is_superuser, "s"), flag(verifier, "p")];
        format!("{}:{}", role.name, flags.concat())
    };
    catalog.roles().iter().map(show).collect()
}

#[test]
fn roles_are_made_changed_and_dropped() {
    let mut catalog = Catalog::new();
    assert_eq!(shown(&catalog), ["sakia:ls"]);
    for sql in [
        "CREATE ROLE ann WITH LOGIN PASSWORD 'open sesame'",
        "create user Bob password 'open sesame';",
        "CREATE USER \"Eve\" NOLOGIN ENCRYPTED PASSWORD E'open sesame' -- the end",
        "CREATE ROLE readers NOSUPERUSER INHERIT NOCREATEDB NOREPLICATION",
        "CREATE ROLE root SUPERUSER LOGIN PASSWORD ''",
        "CREATE USER sysop SUPERUSER PASSWORD 'SCRAM-SHA-256$4096:c2FsdA==$AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI='",
    ] {
        run(&mut catalog, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    assert_eq!(
        shown(&catalog),
        ["sakia:ls", "ann:lp", "bob:lp", "Eve:p", "readers:", "root:ls", "sysop:lsp"]
    );
    let verifier = |name| catalog.roles().find(name).and_then(|role| role.verifier.clone());
    assert_eq!(verifier("ann"), material().verifier);
    assert_eq!(verifier("sysop").expect("given").salt, b"salt");
    assert_eq!(catalog.roles().secret(), Some(&[9; 32]));
    for sql in [
        "ALTER ROLE ann NOLOGIN SUPERUSER PASSWORD NULL",
        "ALTER USER \"Eve\" WITH LOGIN",
        "ALTER ROLE readers RENAME TO writers",
        "ALTER ROLE current_user ENCRYPTED PASSWORD 'open sesame'",
        "DROP USER root, sysop",
        "DROP ROLE IF EXISTS nobody, bob",
    ] {
        run(&mut catalog, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    assert_eq!(shown(&catalog), ["sakia:lsp", "ann:s", "Eve:lp", "writers:"]);
    for (sql, expected) in [
        ("CREATE ROLE ann", "42710"),
        ("CREATE ROLE sakia", "42710"),
        ("CREATE ROLE pg_mine", "42939"),
        ("CREATE ROLE public", "42939"),
        ("CREATE ROLE current_user", "42939"),
        ("ALTER ROLE nobody LOGIN", "42704"),
        ("ALTER ROLE ann RENAME TO writers", "42710"),
        ("ALTER ROLE sakia NOSUPERUSER", "0A000"),
        ("ALTER ROLE sakia RENAME TO other", "0A000"),
        ("ALTER ROLE ann SET statement_timeout = 1", "0A000"),
        ("ALTER ROLE ann VALID UNTIL '2030-01-01'", "0A000"),
        ("CREATE ROLE x VALID UNTIL '2030-01-01'", "0A000"),
        ("CREATE ROLE x IN ROLE ann", "0A000"),
        ("CREATE ROLE x CREATEDB", "0A000"),
        ("CREATE ROLE x CONNECTION LIMIT 3", "0A000"),
        ("ALTER ROLE ann CONNECTION LIMIT 3", "0A000"),
        ("CREATE ROLE x, y", "0A000"),
        ("CREATE ROLE x PASSWORD 'md50123456789abcdef0123456789abcdef'", "0A000"),
        ("CREATE ROLE x PASSWORD 'SCRAM-SHA-256$no'", "22023"),
        ("DROP ROLE nobody", "42704"),
        ("DROP ROLE sakia", "2BP01"),
    ] {
        let result = run(&mut catalog, sql);
        assert_eq!(result.as_ref().map_err(|error| error.sqlstate).expect_err(sql), expected, "{sql}");
    }
    let error = parse("CREATE OR REPLACE USER x PASSWORD='open sesame'")
        .and_then(|parsed| bind(&catalog, &parsed[0], &[]).map(|_| ()))
        .expect_err("another dialect");
    assert!(!format!("{error:?}").contains(PASSWORD), "{error:?}");
    let long = format!("CREATE ROLE x PASSWORD '{}'", "x".repeat(1025));
    assert_eq!(state(run(&mut catalog, &long)), "22023");
    assert!(run(&mut catalog, "DROP ROLE IF EXISTS nobody").expect("nothing to do").is_none());
    assert!(run(&mut catalog, "CREATE ROLE IF NOT EXISTS ann").expect("nothing to do").is_none());
    // A number is never given again.
    run(&mut catalog, "CREATE ROLE late").expect("made");
    assert_eq!(catalog.roles().find("late").map(|role| role.number), Some(7));
}

#[test]
fn passwords_are_asked_for_as_soon_as_one_can_be_given() {
    let mut catalog = Catalog::new();
    let mut asks_after = |sql: &str| {
        run(&mut catalog, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        catalog.roles().ask_for_passwords()
    };
    assert!(!asks_after("CREATE ROLE ann PASSWORD 'open sesame'"));
    assert!(!asks_after("CREATE USER bob"));
    assert!(asks_after("ALTER ROLE ann LOGIN"));
    assert!(asks_after("ALTER ROLE bob PASSWORD 'open sesame'"));
    assert!(asks_after("DROP ROLE ann"));
    assert!(!asks_after("ALTER ROLE bob NOLOGIN"));
}

#[test]
fn who_may_do_what() {
    let mut catalog = Catalog::new();
    run(&mut catalog, "CREATE USER ann PASSWORD 'open sesame'").expect("made");
    run(&mut catalog, "CREATE USER bob SUPERUSER").expect("made");
    for sql in [
        "CREATE ROLE x",
        "ALTER ROLE ann SUPERUSER",
        "ALTER ROLE ann SUPERUSER PASSWORD 'open sesame'",
        "ALTER ROLE bob PASSWORD 'open sesame'",
        "ALTER ROLE ann RENAME TO eve",
        "DROP ROLE bob",
        // Taking the last password away would let everybody in.
        "ALTER ROLE ann PASSWORD NULL",
        "ALTER ROLE current_user PASSWORD ''",
    ] {
        assert_eq!(state(run_as(&mut catalog, "ann", sql)), "42501", "{sql}");
        assert_eq!(state(run_as(&mut catalog, "nobody", sql)), "42501", "{sql}");
    }
    run_as(&mut catalog, "ann", "ALTER ROLE ann PASSWORD 'open sesame'").expect("her own");
    run_as(&mut catalog, "ann", "ALTER USER current_user PASSWORD 'open sesame'").expect("her own");
    assert_eq!(state(run_as(&mut catalog, "bob", "DROP ROLE ann, bob")), "55006");
    run_as(&mut catalog, "bob", "ALTER ROLE ann SUPERUSER").expect("he may");
    run_as(&mut catalog, "ann", "DROP ROLE bob").expect("now she may");
}

#[test]
fn roles_are_shown_without_what_is_secret() {
    let mut database = Database::new();
    database.run("CREATE USER ann PASSWORD 'open sesame'").expect("made");
    database.run("CREATE ROLE readers").expect("made");
    let roles = database.run("SELECT rolname, rolsuper, rolcanlogin, rolpassword FROM pg_roles ORDER BY oid");
    let expected = "sakia|t|t|********;ann|f|t|********;readers|f|f|********";
    assert_eq!(joined(&roles.expect("read")), expected);
    let users = database.run("SELECT usename FROM pg_catalog.pg_user ORDER BY usesysid").expect("read");
    assert_eq!(joined(&users), "sakia;ann");
}

#[test]
fn other_statements_with_such_words_stay_as_they_are() {
    let mut database = Database::new();
    database
        .run("CREATE TABLE role (user_ bigint PRIMARY KEY, encrypted text, password text)")
        .expect("made");
    database.run("INSERT INTO role VALUES (1, 'CREATE USER', 'x')").expect("written");
    let read = database.run("SELECT encrypted password FROM role WHERE user_ = 1").expect("read");
    assert_eq!(joined(&read), "CREATE USER");
    let several = parse("CREATE USER a; SELECT 1; CREATE USER b NOLOGIN").expect("three statements");
    assert_eq!(several.len(), 3);
}
