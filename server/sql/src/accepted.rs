//! Statements that there is nothing to do for, which dumps and frameworks send all the same: CREATE SCHEMA, CREATE EXTENSION,
//! LOCK TABLE and GRANT.
//!
//! What they ask for is there already, or is said not to come about. What would have to take something away, and cannot, is
//! refused: a REVOKE that did nothing would leave everybody with what its author thinks is gone.

use crate::catalog::Catalog;
use crate::define::Definition;
use crate::error::{Result, SqlError};
use crate::names::{fold, object_name, unqualified};
use crate::session::Session;
use crate::statement::Bound;
use sqlparser::ast::{
    CreateExtension, Grant, GrantObjects, Grantee, GranteeName, GranteesType, Lock, ObjectName, SchemaName,
    Statement,
};

/// What there is to do, and the warnings; none if it is another statement.
pub(crate) fn bind(catalog: &Catalog, statement: &Statement) -> Result<Option<(Bound, Vec<&'static str>)>> {
    Ok(Some(match statement {
        Statement::CreateSchema { schema_name: SchemaName::Simple(name), if_not_exists, .. } => {
            (schema(name, *if_not_exists)?, Vec::new())
        }
        Statement::CreateExtension(create) => {
            (Bound::Session(Session::Nothing("CREATE EXTENSION")), vec![extension(create)?])
        }
        Statement::Lock(Lock { tables, .. }) => {
            for table in tables {
                catalog.object(&object_name(&table.name)?)?;
            }
            let warning = "LOCK TABLE locks nothing: others may write the table meanwhile";
            (Bound::Session(Session::LockTable), vec![warning])
        }
        Statement::Grant(grant) => {
            check_grant(catalog, grant)?;
            let warning = "privileges are not checked: every role may read and write everything";
            (Bound::Session(Session::Nothing("GRANT")), vec![warning])
        }
        Statement::Revoke(_) => {
            return Err(SqlError::unsupported("REVOKE")
                .detail("Privileges are not checked: every role may read and write everything."));
        }
        _ => return Ok(None),
    }))
}

fn schema(name: &ObjectName, if_not_exists: bool) -> Result<Bound> {
    let name = fold(unqualified(name)?);
    if !["public", "pg_catalog", "information_schema"].contains(&name.as_str()) {
        let hint = "The only schema for tables and views is public.";
        return Err(SqlError::unsupported(format!("CREATE SCHEMA {name}")).hint(hint));
    }
    if !if_not_exists {
        return Err(SqlError::new("42P06", format!("schema {name:?} already exists")));
    }
    Ok(Bound::Define(Definition::Nothing(format!("schema {name:?} already exists, skipping"))))
}

/// What is to be said of an extension. Those are taken that are mostly asked for because of what is there.
fn extension(create: &CreateExtension) -> Result<&'static str> {
    match fold(&create.name).as_str() {
        "plpgsql" => Ok("there is no PL/pgSQL: functions and DO blocks in it are refused"),
        "pgcrypto" => Ok("of pgcrypto there is only gen_random_uuid(), as the default of a column"),
        "uuid-ossp" => Ok("of uuid-ossp there is only uuid_generate_v4(), as the default of a column"),
        other => Err(SqlError::unsupported(format!("the extension {other:?}"))),
    }
}

/// Refuses a GRANT that names what there is not, and one that makes roles members of roles.
fn check_grant(catalog: &Catalog, grant: &Grant) -> Result<()> {
    match &grant.objects {
        None => return Err(SqlError::unsupported("GRANT of a role to a role")),
        Some(GrantObjects::Tables(names)) => {
            for name in names {
                catalog.object(&object_name(name)?)?;
            }
        }
        Some(_) => {}
    }
    if grant.with_grant_option {
        return Err(SqlError::unsupported("GRANT ... WITH GRANT OPTION"));
    }
    for Grantee { grantee_type, name } in &grant.grantees {
        let Some(GranteeName::ObjectName(name)) = name else { continue };
        let name = object_name(name)?;
        let is_everybody = *grantee_type == GranteesType::Public || name == "public";
        let is_self = ["current_user", "current_role", "session_user"].contains(&name.as_str());
        if !is_everybody && !is_self && catalog.roles().find(&name).is_none() {
            return Err(SqlError::new("42704", format!("role {name:?} does not exist")));
        }
    }
    Ok(())
}
