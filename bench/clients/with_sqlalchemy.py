"""SQLAlchemy: tables from metadata, the ORM, reflection."""
import datetime as dt
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from checks import URL, check, finish

engine = sa.create_engine(URL.replace("postgres://", "postgresql+psycopg://"))


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "sa_author"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(sa.String(40))
    born: Mapped[dt.date | None]


class Book(Base):
    __tablename__ = "sa_book"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    author: Mapped[int] = mapped_column(sa.BigInteger)
    title: Mapped[str]
    price: Mapped[Decimal | None] = mapped_column(sa.Numeric(8, 2))
    out: Mapped[bool] = mapped_column(default=False)
    at: Mapped[dt.datetime | None] = mapped_column(sa.DateTime(timezone=True))


class Note(Base):
    __tablename__ = "sa_note"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


@check("connect")
def _():
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT 1")).scalar() == 1


@check("create all")
def _():
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    Base.metadata.create_all(engine)


@check("add")
def _():
    with Session(engine) as session:
        session.add_all([Author(id=1, name="Ada", born=dt.date(1815, 12, 10)), Author(id=2, name="Blaise")])
        session.add_all([Book(id=n, author=1 + n % 2, title=f"Book {n}", price=Decimal(n) / 4) for n in range(10)])
        session.commit()


@check("serial keys")
def _():
    with Session(engine) as session:
        notes = [Note(text=str(number)) for number in range(3)]
        session.add_all(notes)
        session.commit()
        assert len({note.id for note in notes}) == 3, [note.id for note in notes]


@check("get")
def _():
    with Session(engine) as session:
        book = session.get(Book, 3)
        assert (book.title, book.price, book.out, book.at) == ("Book 3", Decimal("0.75"), False, None)


@check("select")
def _():
    with Session(engine) as session:
        titles = session.scalars(sa.select(Book.title).where(Book.price > 1).order_by(Book.id)).all()
        assert titles == [f"Book {n}" for n in range(5, 10)], titles
        count = session.scalar(sa.select(sa.func.count()).select_from(Book).where(Book.author == 1))
        assert count == 5, count


@check("join and group")
def _():
    query = (sa.select(Author.name, sa.func.count(Book.id), sa.func.sum(Book.price))
             .join(Book, Book.author == Author.id).group_by(Author.name).order_by(Author.name))
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    assert rows == [("Ada", 5, Decimal("5.00")), ("Blaise", 5, Decimal("6.25"))], rows


@check("in and like")
def _():
    with Session(engine) as session:
        books = session.scalars(sa.select(Book).where(Book.id.in_([1, 2, 99]), Book.title.like("Book%"))).all()
        assert {book.id for book in books} == {1, 2}


@check("update")
def _():
    moment = dt.datetime(2024, 2, 29, 12, tzinfo=dt.timezone.utc)
    with Session(engine) as session:
        book = session.get(Book, 4)
        book.title, book.at = "Changed", moment
        session.commit()
    with Session(engine) as session:
        book = session.get(Book, 4)
        assert (book.title, book.at) == ("Changed", moment), (book.title, book.at)
        session.execute(sa.update(Book).where(Book.author == 2).values(out=True))
        session.commit()
        assert session.scalar(sa.select(sa.func.count()).select_from(Book).where(Book.out)) == 5


@check("upsert")
def _():
    with engine.begin() as connection:
        statement = insert(Author).values(id=2, name="Pascal")
        connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"name": "Pascal"}))
        assert connection.execute(sa.select(Author.name).where(Author.id == 2)).scalar() == "Pascal"


@check("delete")
def _():
    with Session(engine) as session:
        session.delete(session.get(Book, 9))
        session.commit()
        assert session.get(Book, 9) is None
        session.execute(sa.delete(Book).where(Book.price < Decimal("0.5")))
        session.commit()
        assert session.scalar(sa.select(sa.func.count()).select_from(Book)) == 7


@check("rollback")
def _():
    with Session(engine) as session:
        session.add(Author(id=50, name="Nobody"))
        session.flush()
        session.rollback()
        assert session.get(Author, 50) is None


@check("integrity error")
def _():
    try:
        with Session(engine) as session:
            session.add(Author(id=1, name="Again"))
            session.commit()
    except sa.exc.IntegrityError:
        return
    raise AssertionError("no error")


@check("reflection")
def _():
    inspector = sa.inspect(engine)
    assert {"sa_author", "sa_book"} <= set(inspector.get_table_names())
    columns = {column["name"]: column for column in inspector.get_columns("sa_book")}
    assert str(columns["price"]["type"]) == "NUMERIC(8, 2)", columns["price"]
    assert columns["title"]["nullable"] is False
    assert inspector.get_pk_constraint("sa_book")["constrained_columns"] == ["id"]
    table = sa.Table("sa_book", sa.MetaData(), autoload_with=engine)
    assert len(table.columns) == 6


@check("drop all")
def _():
    Base.metadata.drop_all(engine)
    assert not sa.inspect(engine).has_table("sa_book")


finish()
