//! Tables as Apache Parquet, which pandas, Arrow, DuckDB and Hugging Face `datasets` read: columns of one type each, uncompressed.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use serde_json::Value;

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// Bytes of a file.
    Bytes,
    /// A seed or a count: an unsigned number of 64 bits.
    Whole,
    Number,
}

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Absent,
    Bytes(Vec<u8>),
    Whole(u64),
    Number(f64),
}

impl From<&Value> for Cell {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Absent,
            Value::String(text) => Self::Bytes(text.clone().into_bytes()),
            Value::Number(number) => match (number.as_u64(), number.as_f64()) {
                (Some(whole), _) => Self::Whole(whole),
                (None, Some(number)) => Self::Number(number),
                (None, None) => Self::Absent,
            },
            other => Self::Bytes(other.to_string().into_bytes()),
        }
    }
}

/// A file that is written group of rows after group of rows, so that no more than one of these is in memory.
pub struct Writer<W: Write + Send> {
    file: SerializedFileWriter<W>,
    kinds: Vec<Kind>,
}

impl<W: Write + Send> Writer<W> {
    /// A file with these columns.
    pub fn new(out: W, columns: &[(&str, Kind)]) -> Result<Self> {
        let fields = columns.iter().map(|&(name, kind)| field(name, kind).map(Arc::new)).collect::<Result<Vec<_>>>()?;
        let schema = Arc::new(Type::group_type_builder("schema").with_fields(fields).build()?);
        let properties = Arc::new(WriterProperties::builder().set_dictionary_enabled(false).build());
        let kinds = columns.iter().map(|(_, kind)| *kind).collect();
        Ok(Self { file: SerializedFileWriter::new(out, schema, properties)?, kinds })
    }

    /// Writes rows, each with a cell of every column.
    pub fn rows(&mut self, rows: &[Vec<Cell>]) -> Result<()> {
        let mut group = self.file.next_row_group()?;
        for (column, kind) in self.kinds.iter().enumerate() {
            let Some(mut writer) = group.next_column()? else {
                return Err(ParquetError::General("a column is missing".into()));
            };
            let cells = || rows.iter().map(|row| row.get(column).unwrap_or(&Cell::Absent));
            let there: Vec<i16> = cells().map(|cell| i16::from(*cell != Cell::Absent)).collect();
            match kind {
                Kind::Text | Kind::Bytes => {
                    let bytes = |cell: &Cell| match cell {
                        Cell::Bytes(bytes) => Some(ByteArray::from(bytes.clone())),
                        _ => None,
                    };
                    let values: Vec<ByteArray> = cells().filter_map(bytes).collect();
                    writer.typed::<ByteArrayType>().write_batch(&values, Some(&there), None)?;
                }
                Kind::Whole => {
                    // The 64 bits of the unsigned number.
                    let whole = |cell: &Cell| match cell {
                        Cell::Whole(whole) => Some(*whole as i64),
                        _ => None,
                    };
                    let values: Vec<i64> = cells().filter_map(whole).collect();
                    writer.typed::<Int64Type>().write_batch(&values, Some(&there), None)?;
                }
                Kind::Number => {
                    let number = |cell: &Cell| match cell {
                        Cell::Number(number) => Some(*number),
                        Cell::Whole(whole) => Some(*whole as f64),
                        _ => None,
                    };
                    let values: Vec<f64> = cells().filter_map(number).collect();
                    writer.typed::<DoubleType>().write_batch(&values, Some(&there), None)?;
                }
            }
            writer.close()?;
        }
        group.close()?;
        Ok(())
    }

    /// Ends the file: without this it cannot be read.
    pub fn finish(self) -> Result<()> {
        self.file.close().map(drop)
    }
}

fn field(name: &str, kind: Kind) -> Result<Type> {
    let (physical, logical, converted) = match kind {
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String), ConvertedType::UTF8),
        Kind::Bytes => (Physical::BYTE_ARRAY, None, ConvertedType::NONE),
        Kind::Whole => (Physical::INT64, Some(LogicalType::integer(64, false)), ConvertedType::UINT_64),
        Kind::Number => (Physical::DOUBLE, None, ConvertedType::NONE),
    };
    let field = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    field.with_logical_type(logical).with_converted_type(converted).build()
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    use super::*;

    #[test]
    fn what_is_written_is_read_and_absent_cells_stay_absent() {
        let mut file = tempfile::tempfile().unwrap();
        let columns = [("name", Kind::Text), ("seed", Kind::Whole), ("value", Kind::Number), ("png", Kind::Bytes)];
        let mut writer = Writer::new(&mut file, &columns).unwrap();
        let row = |name: &str, seed, value| {
            vec![Cell::Bytes(name.into()), Cell::Whole(seed), value, Cell::Bytes(vec![0, 255])]
        };
        writer.rows(&[row("a, ü", u64::MAX, Cell::Number(0.1)), row("", 0, Cell::Absent)]).unwrap();
        writer.rows(&[row("b", 1, Cell::Whole(2))]).unwrap();
        writer.finish().unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        assert_eq!(reader.metadata().num_row_groups(), 2);
        let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap()).collect();
        assert_eq!(rows[0].get_string(0).unwrap(), "a, ü");
        assert_eq!((rows[0].get_ulong(1).unwrap(), rows[0].get_double(2).unwrap()), (u64::MAX, 0.1));
        assert!(rows[1].get_double(2).is_err());
        assert_eq!(rows[2].get_double(2).unwrap(), 2.0);
        assert_eq!(rows[2].get_bytes(3).unwrap().data(), [0, 255]);
    }
}
