SELECT country, count(*) AS orders, CAST(sum(amount) AS DECIMAL(18, 2)) AS amount
FROM lake.shop.orders
GROUP BY country
