//! A role that may read the history, and nothing else.

use super::pool::{self, StartError};
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// `insufficient_privilege`
const MAY_NOT: &str = "42501";

/// Why there is no such role, in one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReaderError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the role {name:?} may do more than read: {why}; it is left as it is, name another one")]
    MayMore { name: String, why: &'static str },
    #[error(
        "the role of DATABASE_URL may not do that ({0}); run it with the DATABASE_URL of one that may make roles and owns the tables"
    )]
    MayNot(String),
    /// As it comes before PostgreSQL 15, or from there.
    #[error(
        "everybody may create tables in the schema {0}, so the role could, too, and the role of DATABASE_URL may not change that; let the owner of the schema run: revoke create on schema {0} from public"
    )]
    OpenSchema(String),
    #[error("{0}")]
    Refused(#[source] sqlx::Error),
}

impl From<sqlx::Error> for ReaderError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(refusal) if refusal.code().is_some_and(|code| code == MAY_NOT) => {
                Self::MayNot(refusal.message().to_owned())
            }
            Some(_) | None => Self::Refused(error),
        }
    }
}

/// Makes the role, or sees that one that is there has what it needs and no more; with a password, if its verifier is given.
/// Answers whether it was made.
pub(crate) async fn make(
    url: &SecretString,
    name: &str,
    verifier: Option<&str>,
) -> Result<bool, ReaderError> {
    let mut connection = pool::connect_alone(url, &[]).await?;
    let made = make_on(&mut connection, name, verifier).await?;
    connection.close().await?;
    Ok(made)
}

async fn make_on(
    connection: &mut PgConnection,
    name: &str,
    verifier: Option<&str>,
) -> Result<bool, ReaderError> {
    let is_new = match surplus(connection, name).await? {
        None => true,
        Some(None) => false,
        Some(Some(why)) => return Err(ReaderError::MayMore { name: name.to_owned(), why }),
    };
    let names = sqlx::query!(
        r#"select quote_ident($1) as "role!", quote_ident(current_database()) as "database!",
                  quote_ident(current_schema()) as "schema!",
                  has_schema_privilege('public', current_schema(), 'CREATE') as "is_open!""#,
        name
    );
    let names = names.fetch_one(&mut *connection).await?;
    let (role, database, schema) = (names.role, names.database, names.schema);
    // It consists of letters, digits and a few signs that need no quoting.
    let password =
        verifier.map(|verifier| format!("alter role {role} password '{verifier}';")).unwrap_or_default();
    let mut transaction = connection.begin().await?;
    if is_new {
        // No macro can check names that are not known before; PostgreSQL itself has quoted them.
        let create = format!("create role {role}");
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *transaction).await?;
    }
    if names.is_open {
        close_schema(&mut transaction, &schema).await?;
    }
    expect_no_creator(&mut transaction, name, &schema).await?;
    let statements = format!(
        "alter role {role} login;
         {password}
         alter role {role} set default_transaction_read_only = on;
         alter role {role} set statement_timeout = '60s';
         alter role {role} set idle_in_transaction_session_timeout = '60s';
         grant connect on database {database} to {role};
         grant usage on schema {schema} to {role};
         grant select on {schema}.call_history, {schema}.call_daily_stats, {schema}.calls to {role};
         grant select (id, username, created_at, last_seen_at, disabled_at) on {schema}.users to {role}"
    );
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(is_new)
}

/// As it comes, everybody may create tables in it before PostgreSQL 15. What PostgreSQL warns of is told by our own error.
async fn close_schema(connection: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    let statements = format!(
        "set local client_min_messages = error;
         revoke create on schema {schema} from public;
         set local client_min_messages to default"
    );
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await?;
    Ok(())
}

/// Who may not revoke what everybody may is only warned by PostgreSQL: so it is looked at again.
async fn expect_no_creator(
    connection: &mut PgConnection,
    name: &str,
    schema: &str,
) -> Result<(), ReaderError> {
    let left = sqlx::query!(
        r#"select has_schema_privilege('public', current_schema(), 'CREATE') as "everybody!",
                  has_schema_privilege(r.oid, current_schema(), 'CREATE') as "role!"
           from pg_roles r where rolname = $1"#,
        name
    );
    let left = left.fetch_one(connection).await?;
    if left.everybody {
        return Err(ReaderError::OpenSchema(schema.to_owned()));
    }
    if left.role {
        return Err(ReaderError::MayMore { name: name.to_owned(), why: "it may create tables" });
    }
    Ok(())
}

/// What an existing role may do beside reading, if anything; `None`: there is no such role.
async fn surplus(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Option<Option<&'static str>>, sqlx::Error> {
    let role = sqlx::query!(
        r#"select rolsuper as "superuser!", rolcreaterole or rolcreatedb as "makes!", rolreplication or rolbypassrls as "sees!",
                  rolname = current_user as "ours!",
                  exists (select from pg_auth_members m where m.member = r.oid) as "member!",
                  exists (select from pg_shdepend d
                          where d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid and d.deptype = 'o') as "owner!",
                  exists (select from pg_class c
                          where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'v', 'p')
                            and (has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')
                                 or has_any_column_privilege(r.oid, c.oid, 'INSERT, UPDATE'))) as "writer!",
                  has_column_privilege(r.oid, 'users', 'password_hash', 'SELECT')
                      or has_column_privilege(r.oid, 'sessions', 'refresh_generation', 'SELECT') as "confidant!"
           from pg_roles r where rolname = $1"#,
        name
    )
    .fetch_optional(connection)
    .await?;
    Ok(role.map(|role| {
        let reasons = [
            (role.superuser, "it is a superuser"),
            (role.ours, "it is the server's own"),
            (role.makes, "it may make roles or databases"),
            (role.sees, "it may replicate, or pass by row security"),
            (role.owner, "it owns something"),
            (role.member, "it is a member of other roles"),
            (role.writer, "it may write to our tables"),
            (role.confidant, "it may read what passwords or refresh tokens are checked with"),
        ];
        reasons.into_iter().find_map(|(applies, why)| applies.then_some(why))
    }))
}
