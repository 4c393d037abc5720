//! The ledger's tables and how an older ledger becomes a current one.
//!
//! `PRAGMA user_version` counts the migrations a ledger has seen. A change of the tables is a new file
//! `schema/vN.sql` at the end of [`MIGRATIONS`]; files of released versions are never edited.

use std::path::Path;

use rusqlite::Connection;

use crate::{Error, Result};

/// The migrations in order: number `i` (from 0) leads from version `i` to version `i + 1`.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema/v1.sql"),
    include_str!("schema/v2.sql"),
    include_str!("schema/v3.sql"),
    include_str!("schema/v4.sql"),
    include_str!("schema/v5.sql"),
    include_str!("schema/v6.sql"),
    include_str!("schema/v7.sql"),
];

/// Version of the ledgers this program writes.
pub const LEDGER_VERSION: u32 = MIGRATIONS.len() as u32;

/// Version of an open ledger; 0 for an empty one.
pub(super) fn version_of(conn: &Connection) -> rusqlite::Result<u32> {
    conn.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Fails for a ledger that knows more than this program does; `newest` is the version this program writes.
pub(super) fn refuse_newer(version: u32, newest: u32) -> Result<()> {
    if version <= newest {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "this ledger was written by a newer version of the program (version {version}, this one knows up to {newest}); nothing was changed"
    )))
}

/// Fails for a database that is no ledger: an empty one, which opening would fill with tables, or another program's.
pub(super) fn refuse_other(conn: &Connection) -> Result<()> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'
        AND name IN ('images', 'runs', 'checkpoints', 'candidates', 'scores')";
    let known: i64 = conn.query_row(sql, [], |row| row.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let path = conn.path().unwrap_or_default();
    match (known, tables) {
        (5, _) => Ok(()),
        (_, 0) => Err(Error::invalid(format!("the ledger is empty; {}", super::hint_of(Path::new(path))))),
        _ => Err(Error::invalid(format!("this is another program's database; {}", super::hint_of(Path::new(path))))),
    }
}

/// Brings a ledger up to the last of `migrations`, one transaction each, so that a kill leaves a whole version.
pub(super) fn migrate(conn: &Connection, migrations: &[&str]) -> Result<()> {
    let version = version_of(conn)?;
    refuse_newer(version, migrations.len() as u32)?;
    for (next, sql) in (1u32..).zip(migrations).skip(version as usize) {
        let script = format!("BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {next};\nCOMMIT;");
        if let Err(e) = conn.execute_batch(&script) {
            if !conn.is_autocommit() {
                conn.execute_batch("ROLLBACK")?;
            }
            return Err(e.into());
        }
    }
    if version < migrations.len() as u32 {
        // Puts the version into the main file at once, where a program that only looks finds it.
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the next migration might be: a column, an index and a changed value.
    const NEXT: &str = "ALTER TABLE images ADD COLUMN stars INTEGER NOT NULL DEFAULT 3;
        CREATE INDEX images_by_stars ON images (stars);
        UPDATE images SET name = name || '!';";

    /// A row in an image table, with `held_out` for version 1.
    fn old_row(version: usize) -> String {
        let [held_out, value] = if version == 1 { [", held_out", ", 1"] } else { ["", ""] };
        format!(
            "INSERT INTO images (dir, name, lr_path, lr_width_px, lr_height_px, source, source_hash, variant, \
             added_at_secs{held_out}) VALUES ('cat', 'cat.png', 'images/cat/lr.png', 32, 32, 'cat.png', 'hash', '', 0{value})"
        )
    }

    /// The tables, columns and indices of a ledger, in words.
    fn shape(conn: &Connection) -> Vec<String> {
        let mut statement = conn
            .prepare("SELECT type || ' ' || name || ': ' || coalesce(sql, '') FROM sqlite_schema ORDER BY 1")
            .unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn every_older_version_reaches_the_current_one() {
        let fresh = Connection::open_in_memory().unwrap();
        migrate(&fresh, MIGRATIONS).unwrap();
        assert_eq!(version_of(&fresh).unwrap(), LEDGER_VERSION);
        for from in 1..=MIGRATIONS.len() {
            let conn = Connection::open_in_memory().unwrap();
            migrate(&conn, &MIGRATIONS[..from]).unwrap();
            conn.execute_batch(&old_row(from)).unwrap();
            migrate(&conn, MIGRATIONS).unwrap();
            assert_eq!(shape(&conn), shape(&fresh), "from version {from}");
            let name: String = conn.query_row("SELECT name FROM images", [], |r| r.get(0)).unwrap();
            assert_eq!(name, "cat.png");
        }
    }

    #[test]
    fn what_version_1_held_out_stays_held_out_and_its_evaluations_stay_readable() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn, &MIGRATIONS[..1]).unwrap();
        conn.execute_batch(&old_row(1)).unwrap();
        conn.execute_batch(
            "INSERT INTO runs (id, name, dir, recipe, seed, state, round, started_at_secs)
                VALUES (1, 'a', 'a', '', 0, 'done', 0, 0);
            INSERT INTO evaluations VALUES (1, 15, 'held_out', '{}', 2.5);",
        )
        .unwrap();
        migrate(&conn, MIGRATIONS).unwrap();
        let text = |sql: &str| conn.query_row(sql, [], |r| r.get::<_, String>(0)).unwrap();
        assert_eq!(text("SELECT split || ' ' || split_by_rule FROM images"), "test 1");
        let row = "SELECT step || ' ' || measured_on || ' ' || images_digest || report || seconds FROM evaluations";
        assert_eq!(text(row), "15 held_out {}2.5");
    }

    #[test]
    fn a_further_migration_keeps_the_rows() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn, MIGRATIONS).unwrap();
        conn.execute_batch(&old_row(MIGRATIONS.len())).unwrap();
        let extended: Vec<_> = MIGRATIONS.iter().copied().chain([NEXT]).collect();
        migrate(&conn, &extended).unwrap();
        assert_eq!(version_of(&conn).unwrap(), LEDGER_VERSION + 1);
        let row: (String, i64) =
            conn.query_row("SELECT name, stars FROM images", [], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
        assert_eq!(row, ("cat.png!".into(), 3));
        // Once is enough.
        migrate(&conn, &extended).unwrap();
        // And now this ledger is too new for the program.
        let message = migrate(&conn, MIGRATIONS).unwrap_err().to_string();
        assert!(message.contains("newer version"), "{message}");
    }

    #[test]
    fn a_failing_migration_leaves_the_version_before() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn, MIGRATIONS).unwrap();
        conn.execute_batch(&old_row(MIGRATIONS.len())).unwrap();
        let before = shape(&conn);
        let broken = format!("{NEXT} INSERT INTO no_such_table VALUES (1);");
        let extended: Vec<_> = MIGRATIONS.iter().copied().chain([broken.as_str()]).collect();
        assert!(migrate(&conn, &extended).is_err());
        assert_eq!(version_of(&conn).unwrap(), LEDGER_VERSION);
        assert_eq!(shape(&conn), before);
        let name: String = conn.query_row("SELECT name FROM images", [], |r| r.get(0)).unwrap();
        assert_eq!(name, "cat.png");
    }
}
