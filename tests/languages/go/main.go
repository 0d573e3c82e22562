package main

import "fmt"

func total(price, count int) int { return price * count }

func main() { fmt.Println(total(2, 3)) }
