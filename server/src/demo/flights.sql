-- The demo: flights as they are scheduled, leave and arrive, and what an airport wants to know about them at any moment.
-- Everything below works the same in psql.

CREATE TABLE flights (
    id        bigint PRIMARY KEY,
    carrier   text NOT NULL,
    number    integer NOT NULL,
    tailnum   text,
    origin    text NOT NULL,
    dest      text NOT NULL,
    scheduled timestamp NOT NULL,
    departed  timestamp,            -- NULL until it has left
    dep_delay integer,              -- minutes
    arrived   timestamp,            -- NULL until it is there
    arr_delay integer,
    air_time  integer,
    distance  integer NOT NULL      -- miles
);

CREATE TABLE airlines (
    code    text PRIMARY KEY,
    airline text NOT NULL
);

CREATE TABLE airports (
    faa      text PRIMARY KEY,
    airport  text NOT NULL,
    lat      double precision NOT NULL,
    lon      double precision NOT NULL,
    altitude integer NOT NULL
);

CREATE TABLE planes (
    registration text PRIMARY KEY,
    built        integer,
    manufacturer text NOT NULL,
    model        text NOT NULL,
    engines      integer NOT NULL,
    seats        integer NOT NULL
);

-- The last flights to leave each airport, with the full name of where they went.
CREATE MATERIALIZED VIEW departures WITH (key = 'origin') AS
SELECT origin, departed, id, carrier || ' ' || number AS flight, upper(coalesce(airport, dest)) AS destination, dep_delay
FROM (SELECT *, row_number() OVER (PARTITION BY origin ORDER BY departed DESC, id) AS place
      FROM flights WHERE departed IS NOT NULL) AS last
LEFT JOIN airports ON dest = faa
WHERE place <= 20
ORDER BY departed DESC, id;

-- How late each carrier arrives. More than 15 minutes count as late. Grouped first, so that sixteen rows are joined.
CREATE MATERIALIZED VIEW punctuality WITH (key = 'carrier') AS
SELECT carrier, airline, flights, rated, delay_sum, delay_mean, late, earliest, latest
FROM (SELECT carrier,
             count(*) AS flights,
             count(arr_delay) AS rated,
             sum(arr_delay) AS delay_sum,
             avg(arr_delay::double precision) AS delay_mean,
             sum(CASE WHEN arr_delay > 15 THEN 1 ELSE 0 END) AS late,
             min(arr_delay) AS earliest,
             max(arr_delay) AS latest
      FROM flights WHERE arrived IS NOT NULL GROUP BY carrier) AS arrivals
JOIN airlines ON carrier = code;

-- Where one can go from each airport, worst delays first.
CREATE MATERIALIZED VIEW routes WITH (key = 'origin') AS
SELECT origin, dest,
       count(*) AS flights,
       count(DISTINCT carrier) AS carriers,
       avg(arr_delay::double precision) AS delay_mean,
       min(air_time) AS shortest,
       max(air_time) AS longest
FROM flights
GROUP BY origin, dest
ORDER BY delay_mean DESC, dest;

-- The aircraft that each carrier has flown most often; not every one is registered.
CREATE MATERIALIZED VIEW busiest_aircraft WITH (key = 'carrier') AS
SELECT carrier, tailnum, flights, miles, coalesce(manufacturer, 'not registered') AS manufacturer, model, built
FROM (SELECT *, row_number() OVER (PARTITION BY carrier ORDER BY flights DESC, tailnum) AS place
      FROM (SELECT carrier, tailnum, count(*) AS flights, sum(distance) AS miles
            FROM flights
            WHERE departed IS NOT NULL AND tailnum IS NOT NULL
            GROUP BY carrier, tailnum) AS flown) AS busiest
LEFT JOIN planes ON tailnum = registration
WHERE place <= 10
ORDER BY flights DESC, tailnum;

-- How many places each airport serves, and which.
CREATE MATERIALIZED VIEW destinations WITH (key = 'origin') AS
SELECT origin, count(*) AS destinations, string_agg(dest, ' ' ORDER BY dest) AS list
FROM (SELECT DISTINCT origin, dest FROM flights) AS pairs
GROUP BY origin;

-- Departures and arrivals of every airport, day by day on its own clock.
CREATE MATERIALIZED VIEW traffic WITH (key = 'airport') AS
SELECT airport, day, sum(departure) AS departures, sum(1 - departure) AS arrivals, count(*) AS movements
FROM (SELECT origin AS airport, departed::date AS day, 1 AS departure FROM flights WHERE departed IS NOT NULL
      UNION ALL
      SELECT dest, arrived::date, 0 FROM flights WHERE arrived IS NOT NULL) AS movements
GROUP BY airport, day
ORDER BY day;

-- How delays of departures are spread, for every hour of the day.
CREATE MATERIALIZED VIEW delays_by_hour WITH (key = 'hour') AS
SELECT hour, how, count(*) AS flights, avg(dep_delay::double precision) AS delay_mean, max(dep_delay) AS delay_max
FROM (SELECT extract(hour FROM scheduled)::integer AS hour,
             CASE WHEN dep_delay <= 0 THEN 'on time'
                  WHEN dep_delay <= 15 THEN 'a little late'
                  WHEN dep_delay <= 60 THEN 'late'
                  ELSE 'very late' END AS how,
             dep_delay
      FROM flights WHERE departed IS NOT NULL) AS rated
GROUP BY hour, how
ORDER BY how;

-- Destinations that the table of airports does not have.
CREATE MATERIALIZED VIEW unlisted_airports WITH (key = 'dest') AS
SELECT dest, flights, first, last
FROM (SELECT dest, count(*) AS flights, min(scheduled) AS first, max(scheduled) AS last
      FROM flights GROUP BY dest) AS destinations
LEFT JOIN airports ON dest = faa
WHERE airport IS NULL;

-- Flights that have left and have not arrived: rows come and go all the time.
CREATE MATERIALIZED VIEW in_the_air WITH (key = 'dest') AS
SELECT dest, departed, id, origin, dep_delay > 15 AS delayed
FROM flights
WHERE departed IS NOT NULL AND arrived IS NULL
ORDER BY departed, id;

-- How fast the aircraft of each maker fly.
CREATE MATERIALIZED VIEW speed WITH (key = 'manufacturer') AS
SELECT manufacturer,
       count(*) AS flights,
       count(DISTINCT tailnum) AS aircraft,
       sum(hours) AS hours,
       avg(distance::double precision / hours) AS mph_mean,
       max(distance::double precision / hours) AS mph_max
FROM (SELECT tailnum, distance, air_time::double precision / 60 AS hours
      FROM flights WHERE arrived IS NOT NULL AND air_time IS NOT NULL) AS timed
JOIN planes ON tailnum = registration
GROUP BY manufacturer;

-- Which carriers fly to each place, by name.
CREATE MATERIALIZED VIEW airlines_at WITH (key = 'dest') AS
SELECT dest, count(*) AS airlines, string_agg(airline, '; ' ORDER BY airline) AS list
FROM (SELECT DISTINCT dest, carrier FROM flights WHERE departed IS NOT NULL) AS pairs
JOIN airlines ON carrier = code
GROUP BY dest;
