# What `count` of one `price` cost: total.sh PRICE COUNT
echo $(($1 * $2))
