//! Tables of pg_catalog for what there is none of: they never have rows.

use crate::sql_type::Element;
use crate::sql_type::SqlType::{self, BigInt as I, Boolean as B, Integer as N, SmallInt as S, Text as T};

/// Whether the table of this name never has rows.
pub(in crate::system) fn is_empty(name: &str) -> bool {
    columns(name).is_some()
}

/// The columns of the table of this name.
pub(super) fn columns(name: &str) -> Option<&'static [(&'static str, SqlType)]> {
    Some(match name {
        "pg_proc" => &[
            ("oid", I),
            ("proname", T),
            ("pronamespace", I),
            ("proowner", I),
            ("prolang", I),
            ("prokind", T),
            ("prorettype", I),
            ("proargtypes", T),
            ("prosrc", T),
            ("proisagg", B),
            ("proretset", B),
        ],
        "pg_shdescription" => &[("objoid", I), ("classoid", I), ("description", T)],
        "pg_inherits" => &[("inhrelid", I), ("inhparent", I), ("inhseqno", N), ("inhdetachpending", B)],
        "pg_policy" => &[
            ("oid", I),
            ("polname", T),
            ("polrelid", I),
            ("polcmd", T),
            ("polpermissive", B),
            ("polroles", SqlType::Array(Element::BigInt)),
            ("polqual", T),
            ("polwithcheck", T),
        ],
        "pg_trigger" => &[
            ("oid", I),
            ("tgrelid", I),
            ("tgparentid", I),
            ("tgname", T),
            ("tgfoid", I),
            ("tgtype", S),
            ("tgenabled", T),
            ("tgisinternal", B),
            ("tgconstraint", I),
            ("tgdeferrable", B),
            ("tginitdeferred", B),
        ],
        "pg_statistic_ext" => &[
            ("oid", I),
            ("stxrelid", I),
            ("stxname", T),
            ("stxnamespace", I),
            ("stxowner", I),
            ("stxstattarget", N),
            ("stxkeys", T),
            ("stxkind", SqlType::Array(Element::Text)),
        ],
        "pg_publication" => &[("oid", I), ("pubname", T), ("puballtables", B)],
        "pg_publication_rel" => &[("oid", I), ("prpubid", I), ("prrelid", I), ("prqual", T), ("prattrs", T)],
        "pg_publication_namespace" => &[("oid", I), ("pnpubid", I), ("pnnspid", I)],
        "pg_collation" => &[
            ("oid", I),
            ("collname", T),
            ("collnamespace", I),
            ("collprovider", T),
            ("collcollate", T),
            ("collctype", T),
        ],
        "pg_enum" => &[("oid", I), ("enumtypid", I), ("enumsortorder", N), ("enumlabel", T)],
        "pg_range" => {
            &[("rngtypid", I), ("rngsubtype", I), ("rngmultitypid", I), ("rngcollation", I), ("rngsubopc", I)]
        }
        "pg_sequence" => &[
            ("seqrelid", I),
            ("seqtypid", I),
            ("seqstart", I),
            ("seqincrement", I),
            ("seqmax", I),
            ("seqmin", I),
            ("seqcache", I),
            ("seqcycle", B),
        ],
        "pg_sequences" => &[("schemaname", T), ("sequencename", T)],
        "pg_rewrite" => &[
            ("oid", I),
            ("rulename", T),
            ("ev_class", I),
            ("ev_type", T),
            ("ev_enabled", T),
            ("is_instead", B),
        ],
        "pg_depend" => &[
            ("classid", I),
            ("objid", I),
            ("objsubid", N),
            ("refclassid", I),
            ("refobjid", I),
            ("refobjsubid", N),
            ("deptype", T),
        ],
        "pg_foreign_table" => &[("ftrelid", I), ("ftserver", I), ("ftoptions", T)],
        "pg_foreign_server" => &[("oid", I), ("srvname", T)],
        "pg_tablespace" => &[("oid", I), ("spcname", T), ("spcowner", I)],
        "pg_extension" => &[("oid", I), ("extname", T), ("extversion", T)],
        "pg_language" => &[("oid", I), ("lanname", T)],
        "pg_opclass" => &[("oid", I), ("opcname", T), ("opcmethod", I), ("opcdefault", B)],
        "pg_auth_members" => &[("roleid", I), ("member", I), ("grantor", I), ("admin_option", B)],
        "pg_stat_activity" => &[("pid", N), ("datname", T), ("usename", T), ("state", T), ("query", T)],
        // What a session keeps takes their places where it has some.
        "pg_cursors" => &[
            ("name", T),
            ("statement", T),
            ("is_holdable", B),
            ("is_binary", B),
            ("is_scrollable", B),
            ("creation_time", SqlType::TimestampTz),
        ],
        "pg_prepared_statements" => &[
            ("name", T),
            ("statement", T),
            ("prepare_time", SqlType::TimestampTz),
            ("parameter_types", SqlType::Array(Element::Text)),
            ("from_sql", B),
            ("generic_plans", I),
            ("custom_plans", I),
        ],
        "pg_locks" => &[("locktype", T), ("relation", I), ("pid", N), ("mode", T), ("granted", B)],
        "pg_event_trigger" => &[("oid", I), ("evtname", T)],
        "pg_partitioned_table" => &[("partrelid", I), ("partstrat", T)],
        _ => return None,
    })
}
