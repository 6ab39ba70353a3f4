-- Purpose: what the harness decides, and where: each knob at each site with the values it had, in the order of the code.
-- Parameters: $knob, $site VARCHAR, NULL for "any"; $max_values BIGINT: values listed per row; $limit, $offset BIGINT.
-- One row per knob and site. "values" JSON: [{value, source, calls, runs, last_ns}], the last used ones first, values_total says
--   how many there are; services VARCHAR[]; choices JSON: of a declared knob, as the code said last; place JSON, NULL where the
--   site's record has not come in; *_ns nanoseconds; total is the number of rows, whatever the page.
WITH by_run AS (
    -- by run first: counting distinct runs of ten million decisions takes several times as long
    SELECT
        knob, site_id, value::VARCHAR AS value, source, run_id,
        count(call_id) AS calls,
        max(decided_ns) AS last_ns,
        arg_max(site_role, decided_ns) AS role,
        arg_max(choices, decided_ns) AS choices
    FROM decisions
    WHERE ($knob IS NULL OR knob = $knob) AND ($site IS NULL OR site_id = $site)
    GROUP BY knob, site_id, value::VARCHAR, source, run_id
),
by_value AS (
    SELECT
        b.knob, b.site_id, b.value, b.source,
        sum(b.calls)::BIGINT AS calls,
        count(*) AS runs,
        max(b.last_ns) AS last_ns,
        arg_max(b.role, b.last_ns) AS role,
        max_by({'at': b.last_ns, 'choices': b.choices}, b.last_ns) FILTER (b.choices IS NOT NULL) AS named,
        list(DISTINCT r.service) FILTER (r.service IS NOT NULL) AS services
    FROM by_run AS b
    LEFT JOIN runs AS r USING (run_id)
    GROUP BY b.knob, b.site_id, b.value, b.source
),
by_site AS (
    SELECT
        knob, site_id,
        list(
            {'value': value::JSON, 'source': source, 'calls': calls, 'runs': runs, 'last_ns': last_ns}
            ORDER BY last_ns DESC, value, source
        ) AS had,
        max(last_ns) AS last_ns,
        arg_max(role, last_ns) AS role,
        max_by(named.choices, named.at) AS choices,
        list_sort(list_distinct(flatten(list(coalesce(services, []))))) AS services
    FROM by_value
    GROUP BY knob, site_id
)
SELECT
    b.knob, b.site_id, b.role, b.services, b.choices, b.last_ns,
    to_json(b.had[:$max_values]) AS "values",
    len(b.had) AS values_total,
    CASE WHEN s.site_id IS NOT NULL THEN to_json(s) END AS place,
    count(*) OVER () AS total
FROM by_site AS b
LEFT JOIN sites AS s USING (site_id)
ORDER BY s.file NULLS LAST, s.line, b.knob, b.site_id
LIMIT $limit OFFSET $offset
