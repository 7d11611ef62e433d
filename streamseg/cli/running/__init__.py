"""What commands that run a graph share: which graph, how it is run, resumed and watched, what is written at its end."""
