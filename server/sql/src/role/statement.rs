//! CREATE, ALTER and DROP of roles.

use std::fmt;

use sqlparser::ast::{
    AlterRoleOperation, CreateRole, Expr as Ast, Ident, ObjectName, Password as Given, RoleOption, Value,
};

use super::{FIRST_ROLE, ROLE_COUNT_MAX, Role, RoleChange, Secret, Verifier};
use crate::catalog::{Catalog, Change};
use crate::define::Definition;
use crate::error::{Result, SqlError};
use crate::names::{fold, new_name, unqualified};

/// Longest password, in bytes.
const PASSWORD_BYTES_MAX: usize = 1024;

/// Who runs a statement.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The name of its role as it is now, or the one that it was let in by without a password.
    pub name: &'a str,
    /// Whether it may do everything.
    pub is_superuser: bool,
}

/// What a statement about roles needs from outside.
#[derive(Debug, Clone)]
pub struct Material {
    /// Of [`RoleStatement::plain_password`], if there is one.
    pub verifier: Option<Verifier>,
    /// Random bytes.
    pub secret: Secret,
}

/// A statement about roles, which takes [`Material`] to become a definition.
#[derive(Debug, Clone)]
pub struct RoleStatement {
    action: Action,
}

#[derive(Debug, Clone)]
enum Action {
    Create { name: String, if_not_exists: bool, options: Options },
    Alter { name: Named, options: Options },
    Rename { from: Named, to: String },
    Drop { names: Vec<Named>, if_exists: bool },
}

/// A role by its name, or whoever asks.
#[derive(Debug, Clone)]
enum Named {
    Role(String),
    Asker,
}

/// What a statement says of a role; nothing where it leaves something as it is.
#[derive(Debug, Clone, Default)]
struct Options {
    can_login: Option<bool>,
    is_superuser: Option<bool>,
    password: Option<Password>,
}

#[derive(Clone)]
enum Password {
    None,
    Plain(String),
    Hashed(Verifier),
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(...)")
    }
}

/// CREATE ROLE and CREATE USER.
pub(crate) fn create(create: &CreateRole) -> Result<RoleStatement> {
    let [name] = create.names.as_slice() else {
        return Err(SqlError::unsupported("CREATE ROLE of several roles at once"));
    };
    let refused = [
        (create.create_db == Some(true), "CREATEDB"),
        (create.create_role == Some(true), "CREATEROLE"),
        (create.replication == Some(true), "REPLICATION"),
        (create.bypassrls == Some(true), "BYPASSRLS"),
        (create.connection_limit.is_some(), "CONNECTION LIMIT"),
        (create.valid_until.is_some(), "VALID UNTIL"),
        (!create.in_role.is_empty() || !create.in_group.is_empty(), "membership of roles in roles"),
        (!create.role.is_empty() || !create.user.is_empty(), "membership of roles in roles"),
        (!create.admin.is_empty(), "membership of roles in roles"),
    ];
    if let Some((_, what)) = refused.iter().find(|(there, _)| *there) {
        return Err(unsupported(what));
    }
    let options = Options {
        can_login: create.login,
        is_superuser: create.superuser,
        password: create.password.as_ref().map(password).transpose()?,
    };
    let name = new_role(unqualified(name)?)?;
    Ok(RoleStatement { action: Action::Create { name, if_not_exists: create.if_not_exists, options } })
}

/// ALTER ROLE and ALTER USER.
pub(crate) fn alter(name: &Ident, operation: &AlterRoleOperation) -> Result<RoleStatement> {
    let name = named(name);
    let given = match operation {
        AlterRoleOperation::WithOptions { options } => options,
        AlterRoleOperation::RenameRole { role_name } => {
            let action = Action::Rename { from: name, to: new_role(role_name)? };
            return Ok(RoleStatement { action });
        }
        other => {
            let words = other.to_string();
            let first = words.split_whitespace().next().unwrap_or_default();
            return Err(SqlError::unsupported(format!("ALTER ROLE ... {first}")));
        }
    };
    let mut options = Options::default();
    for option in given {
        match option {
            RoleOption::Login(can) => options.can_login = Some(*can),
            RoleOption::SuperUser(is) => options.is_superuser = Some(*is),
            RoleOption::Password(given) => options.password = Some(password(given)?),
            RoleOption::Inherit(_)
            | RoleOption::CreateDB(false)
            | RoleOption::CreateRole(false)
            | RoleOption::Replication(false)
            | RoleOption::BypassRLS(false) => {}
            other => {
                let words = other.to_string();
                // What follows may be a value.
                let words: Vec<&str> = words.split(' ').take_while(|word| is_capital(word)).collect();
                return Err(unsupported(&words.join(" ")));
            }
        }
    }
    Ok(RoleStatement { action: Action::Alter { name, options } })
}

/// DROP ROLE and DROP USER.
pub(crate) fn drop(names: &[ObjectName], if_exists: bool) -> Result<RoleStatement> {
    let names = names.iter().map(|name| Ok(named(unqualified(name)?))).collect::<Result<_>>()?;
    Ok(RoleStatement { action: Action::Drop { names, if_exists } })
}

fn is_capital(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn unsupported(what: &str) -> SqlError {
    SqlError::unsupported(format!("{what} of a role"))
        .hint("A role has LOGIN, SUPERUSER and PASSWORD; whoever is let in reads and writes everything.")
}

fn named(ident: &Ident) -> Named {
    let name = fold(ident);
    let is_asker = ident.quote_style.is_none()
        && matches!(name.as_str(), "current_user" | "session_user" | "current_role");
    if is_asker { Named::Asker } else { Named::Role(name) }
}

/// The name of a role that is to be made.
fn new_role(ident: &Ident) -> Result<String> {
    let name = new_name(ident)?;
    let is_word = ident.quote_style.is_none()
        && matches!(name.as_str(), "current_user" | "session_user" | "current_role");
    if is_word || matches!(name.as_str(), "public" | "none") || name.starts_with("pg_") {
        return Err(SqlError::new("42939", format!("role name {name:?} is reserved")).at(ident.span));
    }
    Ok(name)
}

fn password(given: &Given) -> Result<Password> {
    let Given::Password(Ast::Value(value)) = given else { return Ok(Password::None) };
    let text = match &value.value {
        Value::Null => return Ok(Password::None),
        Value::SingleQuotedString(text)
        | Value::EscapedStringLiteral(text)
        | Value::UnicodeStringLiteral(text) => text,
        Value::DollarQuotedString(text) => &text.value,
        _ => return Err(SqlError::syntax("a password is a text in single quotes")),
    };
    if text.len() > PASSWORD_BYTES_MAX {
        return Err(SqlError::new("22023", format!("a password has at most {PASSWORD_BYTES_MAX} bytes")));
    }
    Ok(match Verifier::parse(text)? {
        _ if text.is_empty() => Password::None,
        Some(verifier) => Password::Hashed(verifier),
        None => Password::Plain(text.clone()),
    })
}

impl RoleStatement {
    /// The password that it gives in plain text, of which a verifier is to be made.
    pub fn plain_password(&self) -> Option<&str> {
        match &self.action {
            Action::Create { options, .. } | Action::Alter { options, .. } => match &options.password {
                Some(Password::Plain(password)) => Some(password),
                _ => None,
            },
            _ => None,
        }
    }

    /// What clients are told when it is done.
    pub fn tag(&self) -> &'static str {
        match self.action {
            Action::Create { .. } => "CREATE ROLE",
            Action::Alter { .. } | Action::Rename { .. } => "ALTER ROLE",
            Action::Drop { .. } => "DROP ROLE",
        }
    }

    /// What it comes to.
    ///
    /// # Errors
    ///
    /// The asker may not do it (42501), there is such a role (42710) or none (42704), or the first role would be lost.
    pub fn definition(&self, catalog: &Catalog, asker: Asker<'_>, material: &Material) -> Result<Definition> {
        self.check_privilege(asker)?;
        match &self.action {
            Action::Create { name, if_not_exists, options } => {
                if catalog.roles().find(name).is_some() {
                    let there = format!("role {name:?} already exists");
                    return match if_not_exists {
                        true => Ok(Definition::Nothing(format!("{there}, skipping"))),
                        false => Err(SqlError::new("42710", there)),
                    };
                }
                if catalog.roles().list.len() >= ROLE_COUNT_MAX {
                    return Err(SqlError::new("54000", format!("there are at most {ROLE_COUNT_MAX} roles")));
                }
                let number = catalog.roles().next_number;
                let role = Role {
                    name: name.clone(),
                    number,
                    can_login: false,
                    is_superuser: false,
                    verifier: None,
                };
                put(catalog, "CREATE ROLE", options.applied(role, material), true, material)
            }
            Action::Alter { name, options } => {
                let role = existing(catalog, name, asker)?;
                if role.number == 0 && options.is_superuser == Some(false) {
                    return Err(SqlError::unsupported(format!("the role {FIRST_ROLE:?} without SUPERUSER")));
                }
                put(catalog, "ALTER ROLE", options.applied(role.clone(), material), false, material)
            }
            Action::Rename { from, to } => rename(catalog, existing(catalog, from, asker)?, to),
            Action::Drop { names, if_exists } => drop_roles(catalog, names, *if_exists, asker),
        }
    }

    /// Superusers may do everything, others may change their own password. They may not take it away: if it is the last one,
    /// whoever connects is let in and may do everything.
    fn check_privilege(&self, asker: Asker<'_>) -> Result<()> {
        let is_own_password = match &self.action {
            Action::Alter { name, options } => {
                let is_own = match name {
                    Named::Role(name) => name == asker.name,
                    Named::Asker => true,
                };
                let is_given = !matches!(options.password, None | Some(Password::None));
                is_own && is_given && options.can_login.is_none() && options.is_superuser.is_none()
            }
            _ => false,
        };
        if asker.is_superuser || is_own_password {
            return Ok(());
        }
        let what = self.tag().to_lowercase();
        Err(SqlError::new("42501", format!("permission denied to {what}"))
            .hint("Superusers can, and whoever connects to the server's Unix socket."))
    }
}

impl Options {
    fn applied(&self, mut role: Role, material: &Material) -> Role {
        role.can_login = self.can_login.unwrap_or(role.can_login);
        role.is_superuser = self.is_superuser.unwrap_or(role.is_superuser);
        match &self.password {
            None => {}
            Some(Password::None) => role.verifier = None,
            Some(Password::Hashed(verifier)) => role.verifier = Some(verifier.clone()),
            Some(Password::Plain(_)) => {
                let verifier = material.verifier.clone();
                role.verifier = Some(verifier.expect("a verifier comes for a plain password"));
            }
        }
        role
    }
}

fn existing<'a>(catalog: &'a Catalog, name: &Named, asker: Asker<'_>) -> Result<&'a Role> {
    let name = match name {
        Named::Role(name) => name,
        Named::Asker => asker.name,
    };
    catalog.roles().find(name).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> SqlError {
    SqlError::new("42704", format!("role {name:?} does not exist"))
}

/// An entry; its text names the role and nothing that is secret.
fn entry(catalog: &Catalog, what: &str, name: &str, change: RoleChange) -> Result<Definition> {
    let sql = format!("{what} \"{}\"", name.replace('"', "\"\""));
    catalog.entry(&sql, Change::Role(change), catalog.builder())
}

fn put(catalog: &Catalog, what: &str, role: Role, is_new: bool, material: &Material) -> Result<Definition> {
    let name = role.name.clone();
    entry(catalog, what, &name, RoleChange::Put { role, is_new, secret: material.secret.clone() })
}

fn rename(catalog: &Catalog, role: &Role, to: &str) -> Result<Definition> {
    if role.number == 0 {
        return Err(SqlError::unsupported(format!("another name of the role {FIRST_ROLE:?}")));
    }
    if catalog.roles().find(to).is_some() {
        return Err(SqlError::new("42710", format!("role {to:?} already exists")));
    }
    let change = RoleChange::Rename { from: role.name.clone(), to: to.to_owned() };
    entry(catalog, "ALTER ROLE", &role.name, change)
}

fn drop_roles(catalog: &Catalog, names: &[Named], if_exists: bool, asker: Asker<'_>) -> Result<Definition> {
    let mut gone: Vec<String> = Vec::new();
    let mut missed: Vec<String> = Vec::new();
    for name in names {
        let name = match name {
            Named::Role(name) => name,
            Named::Asker => asker.name,
        };
        match catalog.roles().find(name) {
            None if if_exists => missed.push(name.to_owned()),
            None => return Err(missing(name)),
            Some(role) if role.number == 0 => {
                return Err(SqlError::new(
                    "2BP01",
                    format!("cannot drop role {name:?}: the server needs it"),
                )
                .hint(format!("ALTER ROLE {FIRST_ROLE} NOLOGIN keeps it out.")));
            }
            Some(_) if name == asker.name => {
                return Err(SqlError::new("55006", "current user cannot be dropped"));
            }
            Some(role) if !gone.contains(&role.name) => gone.push(role.name.clone()),
            Some(_) => {}
        }
    }
    match gone.first() {
        None => Ok(Definition::Nothing(format!("role {:?} does not exist, skipping", missed.join(", ")))),
        Some(first) => entry(catalog, "DROP ROLE", &first.clone(), RoleChange::Drop(gone)),
    }
}
