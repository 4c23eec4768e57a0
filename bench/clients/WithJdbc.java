// pgjdbc: types, prepared statements (on the server after five calls), batches, transactions, metadata, COPY.
import java.io.StringReader;
import java.math.BigDecimal;
import java.net.URI;
import java.sql.Connection;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.sql.Types;
import java.util.Arrays;
import java.util.Objects;
import java.util.Properties;
import java.util.UUID;
import org.postgresql.PGConnection;

public class WithJdbc {
    interface Work {
        void run() throws Exception;
    }

    static int failed = 0;

    static void check(String name, Work work) {
        try {
            work.run();
            System.out.println("ok " + name);
        } catch (Exception error) {
            failed++;
            String state = error instanceof SQLException sql ? sql.getSQLState() + " " : "";
            System.out.println("not ok " + name + ": " + state + String.valueOf(error.getMessage()).replace("\n", " / "));
        }
    }

    static void equal(Object found, Object wanted) {
        if (!Objects.deepEquals(found, wanted)) {
            throw new IllegalStateException(found + " instead of " + wanted);
        }
    }

    static Connection connection;

    static void execute(String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    static Object value(String sql) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            return rows.next() ? rows.getObject(1) : null;
        }
    }

    static void refresh(String view) throws SQLException {
        if (System.getenv("REFRESH") != null) {
            execute("REFRESH MATERIALIZED VIEW " + view);
        }
    }

    static Connection connect(String... options) throws SQLException {
        URI url = URI.create(System.getenv("DATABASE_URL"));
        Properties properties = new Properties();
        String[] user = url.getUserInfo().split(":");
        properties.put("user", user[0]);
        if (user.length > 1) {
            properties.put("password", user[1]);
        }
        for (int at = 0; at < options.length; at += 2) {
            properties.put(options[at], options[at + 1]);
        }
        return DriverManager.getConnection("jdbc:postgresql://" + url.getHost() + ":" + url.getPort() + url.getPath(), properties);
    }

    static void types() throws SQLException {
        UUID uuid = UUID.fromString("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        Timestamp at = Timestamp.valueOf("2024-02-29 12:30:00.125");
        try (PreparedStatement insert = connection.prepareStatement("INSERT INTO jd_types VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")) {
            insert.setInt(1, 1);
            insert.setBoolean(2, true);
            insert.setLong(3, 1L << 40);
            insert.setDouble(4, 0.1);
            insert.setBigDecimal(5, new BigDecimal("12.50"));
            insert.setString(6, "é");
            insert.setTimestamp(7, at);
            insert.setBytes(8, new byte[] {0, -1});
            insert.setObject(9, uuid);
            insert.setDate(10, Date.valueOf("2024-02-29"));
            equal(insert.executeUpdate(), 1);
            insert.setInt(1, 2);
            insert.setNull(2, Types.BOOLEAN);
            for (int at2 = 3; at2 <= 10; at2++) {
                insert.setObject(at2, null);
            }
            equal(insert.executeUpdate(), 1);
        }
        try (PreparedStatement select = connection.prepareStatement("SELECT * FROM jd_types WHERE id = ?")) {
            // From the sixth time on it is a statement of the server, with binary results.
            for (int round = 0; round < 8; round++) {
                select.setInt(1, 1);
                try (ResultSet row = select.executeQuery()) {
                    row.next();
                    equal(row.getBoolean("b"), true);
                    equal(row.getLong("l"), 1L << 40);
                    equal(row.getDouble("d"), 0.1);
                    equal(row.getBigDecimal("n"), new BigDecimal("12.50"));
                    equal(row.getString("t"), "é");
                    equal(row.getTimestamp("ts"), at);
                    equal(Arrays.toString(row.getBytes("y")), "[0, -1]");
                    equal(row.getObject("u"), uuid);
                    equal(row.getDate("da"), Date.valueOf("2024-02-29"));
                }
            }
            select.setInt(1, 2);
            try (ResultSet row = select.executeQuery()) {
                row.next();
                for (int column = 2; column <= 10; column++) {
                    equal(row.getObject(column), null);
                }
            }
        }
    }

    static void errors() throws SQLException {
        String[][] cases = {{"SELECT * FROM missing", "42P01"}, {"SELECT 1 / 0", "22012"}, {"SELEC", "42601"},
            {"INSERT INTO jd_vote VALUES (1, 'u1')", "23505"}};
        for (String[] one : cases) {
            try {
                execute(one[0]);
            } catch (SQLException error) {
                equal(one[0] + error.getSQLState(), one[0] + one[1]);
                continue;
            }
            throw new IllegalStateException(one[0] + ": no error");
        }
    }

    static void fetchSize() throws SQLException {
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(10);
            int count = 0;
            try (ResultSet rows = statement.executeQuery("SELECT * FROM jd_vote WHERE story < 5")) {
                while (rows.next()) {
                    count++;
                }
            }
            equal(count, 100);
        }
        connection.commit();
        connection.setAutoCommit(true);
    }

    public static void main(String[] arguments) throws Exception {
        connection = connect();
        check("define", () -> {
            execute("DROP TABLE IF EXISTS jd_vote CASCADE");
            execute("DROP TABLE IF EXISTS jd_types CASCADE");
            execute("CREATE TABLE jd_vote (story bigint, who text, PRIMARY KEY (story, who))");
            execute("CREATE MATERIALIZED VIEW jd_count AS SELECT story, count(*) AS n FROM jd_vote GROUP BY story");
            execute("CREATE TABLE jd_types (id int PRIMARY KEY, b boolean, l bigint, d double precision, n numeric(8,2), "
                + "t text, ts timestamp, y bytea, u uuid, da date)");
        });
        check("types and nulls", WithJdbc::types);
        check("batch", () -> {
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO jd_vote VALUES (?, ?)")) {
                for (int n = 0; n < 100; n++) {
                    insert.setLong(1, n % 5);
                    insert.setString(2, "u" + n);
                    insert.addBatch();
                }
                equal(insert.executeBatch().length, 100);
            }
        });
        check("a view shows what was just written", () -> {
            refresh("jd_count");
            equal(value("SELECT n FROM jd_count WHERE story = 3"), 20L);
        });
        check("rewritten batch", () -> {
            try (Connection other = connect("reWriteBatchedInserts", "true");
                 PreparedStatement insert = other.prepareStatement("INSERT INTO jd_vote VALUES (?, ?)")) {
                for (int n = 0; n < 300; n++) {
                    insert.setLong(1, 10);
                    insert.setString(2, "b" + n);
                    insert.addBatch();
                }
                insert.executeBatch();
            }
            refresh("jd_count");
            equal(value("SELECT n FROM jd_count WHERE story = 10"), 300L);
        });
        check("simple protocol", () -> {
            try (Connection other = connect("preferQueryMode", "simple");
                 PreparedStatement select = other.prepareStatement("SELECT n FROM jd_count WHERE story = ?")) {
                select.setLong(1, 10);
                try (ResultSet rows = select.executeQuery()) {
                    rows.next();
                    equal(rows.getLong(1), 300L);
                }
            }
        });
        check("transaction", () -> {
            connection.setAutoCommit(false);
            execute("INSERT INTO jd_vote VALUES (20, 'a')");
            connection.rollback();
            execute("INSERT INTO jd_vote VALUES (21, 'a')");
            connection.commit();
            connection.setAutoCommit(true);
            equal(value("SELECT count(*) FROM jd_vote WHERE story = 20"), 0L);
            equal(value("SELECT count(*) FROM jd_vote WHERE story = 21"), 1L);
        });
        check("savepoint", () -> {
            connection.setAutoCommit(false);
            execute("INSERT INTO jd_vote VALUES (22, 'a')");
            var savepoint = connection.setSavepoint("here");
            execute("INSERT INTO jd_vote VALUES (22, 'b')");
            connection.rollback(savepoint);
            connection.commit();
            connection.setAutoCommit(true);
            equal(value("SELECT count(*) FROM jd_vote WHERE story = 22"), 1L);
        });
        check("errors", WithJdbc::errors);
        check("fetch size", WithJdbc::fetchSize);
        check("generated keys", () -> {
            try (PreparedStatement insert =
                    connection.prepareStatement("INSERT INTO jd_types (id, t) VALUES (3, 'x')", new String[] {"id"})) {
                insert.executeUpdate();
                ResultSet keys = insert.getGeneratedKeys();
                keys.next();
                equal(keys.getInt(1), 3);
            }
        });
        check("metadata: tables", () -> {
            ResultSet tables = connection.getMetaData().getTables(null, "public", "jd_%", new String[] {"TABLE", "MATERIALIZED VIEW"});
            StringBuilder names = new StringBuilder();
            while (tables.next()) {
                names.append(tables.getString("TABLE_NAME")).append(' ');
            }
            equal(names.toString().contains("jd_types") && names.toString().contains("jd_vote"), true);
        });
        check("metadata: columns", () -> {
            ResultSet columns = connection.getMetaData().getColumns(null, "public", "jd_types", null);
            StringBuilder names = new StringBuilder();
            while (columns.next()) {
                names.append(columns.getString("COLUMN_NAME")).append(':').append(columns.getString("TYPE_NAME")).append(' ');
            }
            equal(names.toString(), "id:int4 b:bool l:int8 d:float8 n:numeric t:text ts:timestamp y:bytea u:uuid da:date ");
        });
        check("metadata: keys", () -> {
            ResultSet keys = connection.getMetaData().getPrimaryKeys(null, "public", "jd_vote");
            int count = 0;
            while (keys.next()) {
                count++;
            }
            equal(count, 2);
        });
        check("copy", () -> {
            long rows = connection.unwrap(PGConnection.class).getCopyAPI()
                .copyIn("COPY jd_vote FROM STDIN WITH (FORMAT csv)", new StringReader("30,a\n30,b\n30,\"c,d\"\n"));
            equal(rows, 3L);
            equal(value("SELECT count(*) FROM jd_vote WHERE story = 30"), 3L);
        });
        check("valid", () -> equal(connection.isValid(5), true));
        check("drop", () -> {
            execute("DROP TABLE jd_vote CASCADE");
            execute("DROP TABLE jd_types");
        });
        connection.close();
        System.exit(failed > 0 ? 1 : 0);
    }
}
