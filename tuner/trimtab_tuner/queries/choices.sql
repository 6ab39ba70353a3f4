-- Purpose: what runs can be chosen by.
-- Parameters: none.
-- One row; services and models: names by alphabet, asked for or answered; sites: ids of places that made requests.
SELECT
    (SELECT list(DISTINCT service ORDER BY service) FROM runs) AS services,
    (
        SELECT list(DISTINCT name ORDER BY name)
        FROM (SELECT model AS name FROM attempts UNION SELECT response_model FROM attempts)
        WHERE name IS NOT NULL
    ) AS models,
    (SELECT list(DISTINCT site_id ORDER BY site_id) FROM attempts) AS sites
