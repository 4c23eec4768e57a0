"""Django's ORM: the migrations of a small app, and what a view of it would do."""
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlparse

import django
from django.conf import settings

from checks import URL, check, finish

url = urlparse(URL)
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:], "USER": url.username,
                           "PASSWORD": url.password or "", "HOST": url.hostname, "PORT": url.port}},
    INSTALLED_APPS=["shop"], DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", USE_TZ=True)

# The app is a package in a temporary folder, so that its migrations have a place.
home = tempfile.TemporaryDirectory()
package = Path(home.name) / "shop"
(package / "migrations").mkdir(parents=True)
(package / "__init__.py").touch()
(package / "migrations/__init__.py").touch()
(package / "models.py").write_text('''
from django.db import models

class Author(models.Model):
    name = models.CharField(max_length=50)
    born = models.DateField(null=True)
    class Meta:
        app_label = "shop"

class Book(models.Model):
    author_number = models.BigIntegerField(db_index=True)
    title = models.TextField()
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    out = models.BooleanField(default=False)
    made = models.DateTimeField(auto_now_add=True)
    extra = models.JSONField(default=dict)
    code = models.UUIDField(null=True)
    class Meta:
        app_label = "shop"
''')
sys.path.insert(0, home.name)
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import IntegrityError, connection, transaction  # noqa: E402
from django.db.models import Avg, Count, F, Q, Sum  # noqa: E402
from shop.models import Author, Book  # noqa: E402


@check("connect")
def _():
    with connection.cursor() as cursor:
        for name in ["django_migrations", "shop_author", "shop_book"]:
            cursor.execute(f"DROP TABLE IF EXISTS {name} CASCADE")


@check("migrate")
def _():
    call_command("makemigrations", "shop", verbosity=0)
    call_command("migrate", verbosity=0)
    assert {"shop_author", "shop_book"} <= set(connection.introspection.table_names())


@check("a second migration")
def _():
    path = package / "models.py"
    (package / "migrations/0002_pages.py").write_text('''
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [migrations.AddField("author", "country", models.CharField(max_length=2, null=True))]
''')
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        names = [column.name for column in connection.introspection.get_table_description(cursor, "shop_author")]
    assert "country" in names, names
    assert path.exists()


@check("a column with a default for the rows that are there, and columns dropped")
def _():
    (package / "migrations/0003_rank.py").write_text('''
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("shop", "0002_pages")]
    operations = [
        migrations.AddField("author", "rank", models.IntegerField(default=3)),
        migrations.AlterField("author", "country", models.CharField(max_length=3, null=True)),
        migrations.RemoveField("author", "country"),
        migrations.RemoveField("author", "rank"),
    ]
''')
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        names = [column.name for column in connection.introspection.get_table_description(cursor, "shop_author")]
    assert "country" not in names and "rank" not in names, names


@check("create")
def _():
    ada = Author.objects.create(name="Ada")
    assert ada.id is not None
    other = Author.objects.create(name="Blaise")
    assert other.id != ada.id
    book = Book.objects.create(author_number=ada.id, title="Engines", price="30.50", extra={"a": [1, None]})
    again = Book.objects.get(pk=book.pk)
    assert (again.title, str(again.price), again.out, again.extra) == ("Engines", "30.50", False, {"a": [1, None]})


@check("bulk create")
def _():
    ada = Author.objects.get(name="Ada")
    books = Book.objects.bulk_create([Book(author_number=ada.id, title=f"Vol {n}", price=n) for n in range(20)])
    assert len({book.pk for book in books}) == 20


@check("filter")
def _():
    assert Book.objects.filter(price__gt=10, title__startswith="Vol").count() == 9
    assert Book.objects.filter(Q(price__lt=2) | Q(title__icontains="ENG")).count() == 3
    assert Book.objects.filter(title__in=["Vol 1", "Vol 2", "None"]).exists()
    assert list(Book.objects.order_by("-price").values_list("title", flat=True)[:2]) == ["Engines", "Vol 19"]
    assert Book.objects.exclude(price__gt=5).filter(out=False).count() == 6


@check("aggregate")
def _():
    totals = Book.objects.aggregate(n=Count("id"), total=Sum("price"), mean=Avg("price"))
    assert totals["n"] == 21 and float(totals["total"]) == 220.5, totals
    rows = list(Book.objects.values("out").annotate(n=Count("id")).order_by("out"))
    assert rows == [{"out": False, "n": 21}], rows


@check("update")
def _():
    book = Book.objects.get(title="Vol 3")
    book.title = "Vol three"
    book.save()
    assert Book.objects.get(pk=book.pk).title == "Vol three"
    assert Book.objects.filter(price__lt=3).update(out=True, price=F("price") + 1) == 3
    assert Book.objects.filter(out=True).count() == 3


@check("get or create")
def _():
    _, created = Author.objects.get_or_create(name="Carl")
    assert created
    _, created = Author.objects.get_or_create(name="Carl")
    assert not created
    author, created = Author.objects.update_or_create(name="Carl", defaults={"name": "Karl"})
    assert not created and Author.objects.get(pk=author.pk).name == "Karl"


@check("atomic")
def _():
    with transaction.atomic():
        Author.objects.create(name="Kept")
    try:
        with transaction.atomic():
            Author.objects.create(name="Dropped")
            raise KeyError
    except KeyError:
        pass
    assert Author.objects.filter(name="Kept").exists() and not Author.objects.filter(name="Dropped").exists()


@check("integrity error")
def _():
    first = Author.objects.first()
    try:
        Author.objects.create(pk=first.pk, name="Twice")
    except IntegrityError:
        return
    raise AssertionError("no error")


@check("delete")
def _():
    Book.objects.get(title="Engines").delete()
    assert Book.objects.filter(out=True).delete()[0] == 3
    assert Book.objects.count() == 17


@check("iterator and raw")
def _():
    assert sum(1 for _ in Book.objects.iterator(chunk_size=5)) == 17
    books = list(Book.objects.raw("SELECT * FROM shop_book WHERE price > %s ORDER BY id", [15]))
    assert len(books) == 4, len(books)


@check("drop")
def _():
    call_command("migrate", "shop", "zero", verbosity=0)
    assert "shop_book" not in connection.introspection.table_names()
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE django_migrations")


finish()
