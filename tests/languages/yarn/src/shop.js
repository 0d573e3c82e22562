const isNumber = require("is-number");

exports.total = (price, count) => {
  if (!isNumber(price) || !isNumber(count)) throw new TypeError("not a number");
  return price * count;
};
