"""The databases that connections name: how each is reached, interrupted, limited in time, and what its errors mean.

One module for each: `postgresql`, `mysql`, `sqlite`. `engines` keeps their pools, `values` turns what they give
into JSON.
"""
